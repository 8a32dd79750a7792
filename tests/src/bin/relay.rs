//! Carries connections from one unix socket to another: run as another user, it lends that user's identity to a test,
//! because the socket's peer is whoever connected.
//!
//! Usage: relay FROM TO

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::{
    env,
    fs::{self, Permissions},
    io,
    net::Shutdown,
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    thread,
};

fn main() {
    let [_, from, to] = <[String; 3]>::try_from(env::args().collect::<Vec<_>>()).unwrap();
    // A socket is there before it is listened on: it gets its name afterwards, so that whoever sees it may connect.
    let unready = format!("{from}.unready");
    let listener = UnixListener::bind(&unready).unwrap();
    fs::set_permissions(&unready, Permissions::from_mode(0o666)).unwrap();
    fs::rename(&unready, &from).unwrap();
    for near in listener.incoming() {
        let near = near.unwrap();
        let far = UnixStream::connect(&to).unwrap();
        carry(near.try_clone().unwrap(), far.try_clone().unwrap());
        carry(far, near);
    }
}

/// One direction; its end is passed on.
fn carry(mut from: UnixStream, mut to: UnixStream) {
    thread::spawn(move || {
        // Either side may go away at any time, which ends both directions.
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    });
}
