//! Users of the machine who are no operators: every method turns them away.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio};

use leadline_proto::v1::Role;
use leadline_tests::{Cli, Daemon, Database, control, left_out, wait_until};
use leadlined::control::GroupRole;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::process::{Child, Command};
use tonic::{Code, Request, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

/// A user without rights on every system that has root.
pub(crate) const NOBODY: u32 = 65534;

/// Every method of the control API by its path.
fn methods() -> Vec<PathAndQuery> {
    let descriptors = FileDescriptorSet::decode(leadline_proto::DESCRIPTORS).unwrap();
    let mut paths = Vec::new();
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                paths.push(path.parse().unwrap());
            }
        }
    }
    paths
}

/// Calls a method with an empty message, whatever its type, and reads the first answer: its code, and its reason where it
/// refuses.
async fn call(channel: &Channel, path: PathAndQuery) -> (Code, Option<String>) {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<(), ()>::default();
    let refused = match grpc.server_streaming(Request::new(()), path, codec).await {
        Ok(mut answer) => answer.get_mut().message().await.err(),
        Err(status) => Some(status),
    };
    refused.map_or((Code::Ok, None), |status| {
        let details = tonic_types::StatusExt::get_error_details(&status);
        (status.code(), details.error_info().map(|info| info.reason.clone()))
    })
}

/// A socket beside the daemon's whose connections reach the daemon as another user's.
pub(crate) async fn relay(dir: &Path, socket: &Path, uid: u32) -> Child {
    // Neither the build's folder nor the daemon's socket need be open to that user.
    let executable = dir.join("relay");
    fs::copy(env!("CARGO_BIN_EXE_relay"), &executable).unwrap();
    for path in [dir, socket.parent().unwrap(), socket] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let near = dir.join("relay.sock");
    let mut command = Command::new(executable);
    command.arg(&near).arg(socket).uid(uid).gid(uid).stdin(Stdio::null()).kill_on_drop(true);
    let mut child = None;
    // Another test's process that is just being made may hold the copy open for writing until it runs its program.
    wait_until("the copy may be run", async || match command.spawn() {
        Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => false,
        spawned => {
            child = Some(spawned.unwrap());
            true
        }
    })
    .await;
    wait_until("the relay listens", async || near.exists()).await;
    child.unwrap()
}

#[tokio::test]
async fn another_user_is_turned_away_by_every_method() {
    let daemon = Daemon::start().await;
    let mode = fs::metadata(daemon.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the socket is its user's alone");
    let own = daemon.control().await;
    let methods = methods();
    assert!(methods.len() > 25, "{methods:?}");
    for path in &methods {
        if !path.path().ends_with("WatchService/Watch") {
            let (code, reason) = call(&own, path.clone()).await;
            assert_ne!(code, Code::PermissionDenied, "{path}");
            assert_eq!(code != Code::Ok, reason.is_some(), "{path}: {code:?} {reason:?}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    if fs::metadata(dir.path()).map(|made| std::os::unix::fs::MetadataExt::uid(&made)).unwrap() != 0 {
        left_out("LEADLINE_ROOT_REQUIRED", "root, who alone can be another user");
        return;
    }

    let _relay = relay(dir.path(), daemon.socket(), NOBODY).await;
    let near = dir.path().join("relay.sock");
    let stranger = control(&near).await;
    let others = [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ];
    for path in methods.into_iter().chain(others.map(|path| path.parse().unwrap())) {
        let told = call(&stranger, path.clone()).await;
        assert_eq!(told, (Code::PermissionDenied, Some("NO_OPERATOR".to_owned())), "{path}");
    }
    let reported = Cli::new(&near).run(&["company", "list"]).await;
    let line = reported.error(77);
    assert!(line.contains("uid 65534 is no operator here") && line.contains("root"), "{line}");
    daemon.stop().await;
}

/// The name of a group of this machine.
fn group_name(gid: u32) -> Option<String> {
    let groups = fs::read_to_string("/etc/group").unwrap();
    let of = |line: &str| {
        let fields: Vec<_> = line.split(':').collect();
        (fields.get(2)?.parse::<u32>().ok()? == gid).then(|| fields[0].to_owned())
    };
    groups.lines().find_map(of)
}

#[tokio::test]
async fn a_group_of_the_machine_may_do_what_its_role_says_and_no_more() {
    let [members, strangers] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let is_root =
        fs::metadata(members.path()).map(|made| std::os::unix::fs::MetadataExt::uid(&made)).unwrap() == 0;
    let (true, Some(group)) = (is_root, group_name(NOBODY)) else {
        left_out("LEADLINE_ROOT_REQUIRED", "root, who alone can be another user, and a name of their group");
        return;
    };
    let database = Database::create().await;
    let daemon = Daemon::start_with(&database, |config| {
        config.control_groups = vec![GroupRole { group: group.clone(), role: Role::Viewer }];
    })
    .await;
    let mode = fs::metadata(daemon.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "the socket is its user's and the group's");
    let _member = relay(members.path(), daemon.socket(), NOBODY).await;
    let _stranger = relay(strangers.path(), daemon.socket(), NOBODY - 1).await;

    let member = Cli::new(&members.path().join("relay.sock"));
    assert_eq!(member.run(&["company", "list"]).await.code, 0, "a viewer reads");
    let refused = member.run(&["company", "create", "--name", "Barn", "--plan", "pro"]).await;
    assert!(refused.error(77).contains("viewer"), "{refused:?}");
    let stranger = Cli::new(&strangers.path().join("relay.sock")).run(&["company", "list"]).await;
    assert!(stranger.error(77).contains("uid 65533 is no operator here"), "{stranger:?}");
    daemon.stop().await;
}
