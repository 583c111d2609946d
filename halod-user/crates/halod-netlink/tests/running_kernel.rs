//! Against the running kernel, with or without the module.

use std::path::Path;

use halod_netlink::{Client, Error, Events};

#[tokio::test]
async fn a_kernel_without_the_module_is_told_so() {
    let (client, events) = (Client::connect(), Events::subscribe());
    if Path::new("/sys/module/halod").exists() {
        client.expect("the module is loaded");
        return;
    }
    let error = client.expect_err("no module");
    assert!(matches!(error, Error::NoModule), "{error:?}");
    assert!(error.to_string().contains("modprobe halod"), "{error}");
    assert!(matches!(events.expect_err("no module"), Error::NoModule));
}
