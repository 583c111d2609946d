//! The program itself, as far as it goes without the kernel module.

use std::path::Path;
use std::process::{Command, Output};

fn halod(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_halod"))
        .args(args)
        .output()
        .expect("halod runs")
}

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../packaging/halod.toml");
    path.display().to_string()
}

#[test]
fn check_config_says_what_is_wrong_and_where() {
    let right = halod(&["--check-config", "--config", &example()]);
    assert_eq!(right.status.code(), Some(0));

    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("halod.toml");
    let text = std::fs::read_to_string(example()).expect("the example");
    std::fs::write(&path, text.replace("routes = 24", "routes = 99999")).expect("written");
    let wrong = halod(&["--check-config", "--config", &path.display().to_string()]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    let at = format!("{}:11: routes = 99999", path.display());
    assert!(said.starts_with(&at), "{said}\nshould start with {at}");
}

#[test]
fn wrong_options_and_missing_files_are_told_apart() {
    let output = halod(&["--config", "/nonexistent/halod.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/halod.toml"));
    let output = halod(&["--wait-module", "soon"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--wait-module"));
}
