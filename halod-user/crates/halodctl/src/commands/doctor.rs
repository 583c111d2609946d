//! `halodctl doctor`.

use std::fmt::Write;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use halod_doctor::{Finding, Level, Where, judge, look};
use serde::Serialize;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::{Output, clean, counted};

/// The diagnosis.
#[derive(Serialize)]
struct Diagnosis {
    problems: usize,
    warnings: usize,
    findings: Vec<Finding>,
}

pub async fn run(cli: &Cli, config: &Path, output: &mut Output) -> Result<(), Failure> {
    let facts = look(&Where {
        socket: &cli.socket,
        timeout: cli.timeout,
        config,
        version: env!("CARGO_PKG_VERSION"),
    })
    .await;
    let findings = judge(&facts);
    let count = |level| findings.iter().filter(|it| it.level == level).count();
    let diagnosis = Diagnosis {
        problems: count(Level::Problem),
        warnings: count(Level::Warning),
        findings,
    };
    output.result(&diagnosis, text)?;
    match diagnosis.problems {
        0 => Ok(()),
        _ => Err(Failure::Problems),
    }
}

/// One line a finding; under it the commands that mend it, and the one that shows more.
fn text(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for found in &diagnosis.findings {
        let (word, style) = word(found.level);
        let (check, said) = (found.check, clean(&found.text));
        let _ = writeln!(text, "{style}{word:<9}{style:#}{check:<14}{said}");
        for command in &found.mend {
            let _ = writeln!(text, "{:<9}{:<14}$ {}", "", "", clean(command));
        }
        if let Some(command) = &found.show {
            let _ = writeln!(text, "{:<9}{:<14}? {}", "", "", clean(command));
        }
    }
    let problems = counted(diagnosis.problems, "problem");
    let warnings = counted(diagnosis.warnings, "warning");
    let _ = writeln!(text, "{problems}, {warnings}");
    text
}

fn word(level: Level) -> (&'static str, Style) {
    let color = |color: AnsiColor| color.on_default();
    match level {
        Level::Ok => ("ok", color(AnsiColor::Green)),
        Level::Unknown => ("unknown", color(AnsiColor::Cyan)),
        Level::Warning => ("warning", color(AnsiColor::Yellow)),
        Level::Problem => ("PROBLEM", color(AnsiColor::Red).bold()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_finding_and_its_commands_below() {
        let finding = |level, mend: &[&str]| Finding {
            check: "vip",
            level,
            text: "seen".to_owned(),
            mend: mend.iter().map(|&it| it.to_owned()).collect(),
            show: mend.last().map(|&it| it.to_owned()),
        };
        let said = text(&Diagnosis {
            problems: 1,
            warnings: 0,
            findings: vec![
                finding(Level::Ok, &[]),
                finding(Level::Problem, &["one", "two"]),
            ],
        });
        let plain = anstream::adapter::strip_str(&said).to_string();
        assert_eq!(
            plain,
            "ok       vip           seen\n\
             PROBLEM  vip           seen\n\
             \x20                      $ one\n\
             \x20                      $ two\n\
             \x20                      ? two\n\
             1 problem, 0 warnings\n"
        );
    }
}
