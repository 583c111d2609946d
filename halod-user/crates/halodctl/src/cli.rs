//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use halod_control::DEFAULT_SOCKET;
use halod_proto::NodeName;
use halod_routes::{MAX_ROUTES, MAX_SLOTS};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or failed in another way; the message says why (doctor: problems)
  2  the command line is wrong
  3  the daemon cannot be reached, or does not answer
  4  the kernel module is not there
  5  not permitted

With --json, results go to the standard output as one JSON document (watch: one
a line), and a failure to the standard error as {\"error\": TEXT, \"exit\": CODE}.";

/// Look at HaloD and steer it.
#[derive(Debug, Parser)]
#[command(name = "halodctl", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    /// Path of the daemon's control socket.
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,

    /// How long to wait for the daemon's answer.
    #[arg(long, global = true, value_name = "TIME", default_value = "10s",
          value_parser = humantime::parse_duration)]
    pub timeout: Duration,

    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,

    /// When to colour. `auto`: on a terminal, where NO_COLOR is not set.
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,

    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the daemon and its cluster at a glance.
    Status,
    /// Show which node holds which routes.
    Routes {
        /// Whether to draw the map, 24 routes a line. `auto`: for up to 960 routes.
        #[arg(long, value_name = "WHEN", default_value = "auto")]
        map: When,
    },
    /// Show every node known.
    Nodes,
    /// Show the listeners.
    Listeners,
    /// Show which routes would move with another number of nodes, or without one of them; nothing
    /// is moved.
    Plan(Plan),
    /// Show what the scaling by load does or not, and why.
    Scaling,
    /// Show what happens, until interrupted.
    Watch,
    /// Show by which devices packets take the fast path, and why others do not.
    FastPath,
    /// Check this machine, and show how to mend what is wrong with it. Best run as root; works
    /// without halod too, as far as it can.
    Doctor {
        /// halod's configuration.
        #[arg(long, value_name = "FILE", default_value = "/etc/halod/halod.toml")]
        config: PathBuf,
    },
    /// Change what a node does.
    #[command(subcommand)]
    Node(Node),
    /// Talk to the kernel module directly, past the daemon.
    #[command(subcommand)]
    Kernel(Kernel),
    /// Make certificates for halod and its nodes.
    #[command(subcommand)]
    Pki(Pki),
    /// Print a script that completes halodctl's command line in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// When something that can be left out is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// Where it is of use.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Without --routes and --nodes, the daemon is asked for those of the present. With --drain or
/// --lose it plans itself, from all that it knows: nodes in reserve, the mode of failover.
#[derive(Debug, Args)]
pub struct Plan {
    /// Number of routes.
    #[arg(long, value_name = "N", requires = "nodes",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_ROUTES)))]
    pub routes: Option<u32>,

    /// Number of active nodes to begin with.
    #[arg(long, value_name = "M", requires = "routes",
          value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_SLOTS)))]
    pub nodes: Option<u32>,

    /// Number of active nodes to end with [default: one more].
    #[arg(long, value_name = "K",
          value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_SLOTS)))]
    pub to: Option<u32>,

    /// Show what would move if this node were drained now.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["routes", "nodes", "to", "lose"])]
    pub drain: Option<String>,

    /// Show what would move if this node were lost now.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["routes", "nodes", "to"])]
    pub lose: Option<String>,
}

/// What a node shall do.
#[derive(Clone, Debug, Subcommand)]
pub enum Node {
    /// Put a reserve or draining node to work in a new slot.
    Activate {
        /// The node's name.
        name: String,
    },
    /// Take an active node out of work and keep it in reserve. Its connections may end by
    /// themselves.
    Reserve {
        /// The node's name.
        name: String,
    },
    /// Take an active node out of work for good. Its connections may end by themselves; then it
    /// is told that it may stop. `activate` and `reserve` take it back.
    Drain {
        /// The node's name.
        name: String,
    },
    /// Forget a node, at once: its routes go elsewhere, its users lose their connections.
    Remove {
        /// The node's name.
        name: String,
    },
}

/// What the kernel module can be asked.
#[derive(Debug, Subcommand)]
pub enum Kernel {
    /// Show the table that packets are forwarded by.
    Show,
    /// Show how many packets left by each exit.
    Counters,
    /// Empty the table. Every connection through it breaks; a running daemon puts it back.
    Flush {
        /// Do not ask.
        #[arg(long)]
        yes: bool,

        /// Only where this generation is in force.
        #[arg(long, value_name = "GENERATION")]
        expected: Option<u64>,
    },
}

/// What certificates can be made.
#[derive(Debug, Subcommand)]
pub enum Pki {
    /// Make a CA: ca.pem, which goes to halod and every node, and ca.key, which stays here.
    Init {
        #[command(flatten)]
        place: Place,
    },
    /// Make the certificate of a node, or of halod: NAME.pem and NAME.key.
    Issue {
        /// The node's name, as in its hello; for halod the name that agents know it by.
        name: NodeName,

        /// For halod's end, not for a node's.
        #[arg(long)]
        server: bool,

        /// An address that the certificate is for too; can be given more than once.
        #[arg(long, value_name = "IP")]
        address: Vec<IpAddr>,

        /// How many days it is good for.
        #[arg(long, value_name = "N", default_value_t = 365,
              value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,

        #[command(flatten)]
        place: Place,
    },
}

/// Where certificates are written.
#[derive(Debug, Args)]
pub struct Place {
    /// Directory of the CA and of what it issues.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,

    /// Replace files that are there.
    #[arg(long)]
    pub force: bool,
}
