//! What the doctor says of what it found, and what to do about it.

use std::os::unix::fs::symlink;

use super::{
    machine::{ROOM_MIN, disks, judge_limits, judge_room, judge_settings},
    reach::judge_port,
    *,
};

fn found() -> Inspected {
    Inspected {
        version: "17.2".to_owned(),
        major: 17,
        schema: Schema::Current,
        key_fingerprint: None,
        previous_fingerprint: None,
        is_rotating: false,
        is_encrypted: false,
        is_read_only: false,
        bytes: 0,
        clock_ahead: 0,
    }
}

#[test]
fn of_a_port_that_cannot_be_opened_is_said_how_it_can() {
    let tried = |kind: io::ErrorKind| {
        judge_port(SocketAddr::from(([0, 0, 0, 0], 443)), Err(kind.into()), "--intake-listen")
    };
    let told = "0.0.0.0:443: permission denied: let root start the daemon, or give its unit CAP_NET_BIND_SERVICE \
                (AmbientCapabilities= and CapabilityBoundingSet=)";
    assert_eq!(tried(io::ErrorKind::PermissionDenied), (Grade::Look, told.to_owned()));
    let told = "0.0.0.0:443: address in use: free it, or choose another --intake-listen";
    assert_eq!(tried(io::ErrorKind::AddrInUse), (Grade::Bad, told.to_owned()));
}

/// What is told of a database beyond that its schema is up to date.
fn reported(change: impl FnOnce(&mut Inspected)) -> String {
    let (mut report, mut found) = (DoctorReport::default(), found());
    change(&mut found);
    judge(&mut report, &found);
    report.to_string().replace("ok    schema          it is up to date\n", "")
}

#[test]
fn of_a_database_is_said_what_is_wrong_and_what_to_do() {
    type Change<'a> = &'a dyn Fn(&mut Inspected);
    let cases: [(Change<'_>, &str); 10] = [
        (&|_| {}, ""),
        (&|it| it.major = 15, ""),
        (&|it| it.major = 14, "FAIL  version         PostgreSQL is too old: 15 or newer is needed\n"),
        (
            &|it| it.is_read_only = true,
            "FAIL  database        it takes no writes: name the primary in --database-url\n",
        ),
        (
            &|it| it.schema = Schema::Newer,
            "FAIL  schema          a newer leadlined has used this database: run that one or a newer one\n",
        ),
        (&|it| it.schema = Schema::Older, "ok    schema          the next start brings it up to date\n"),
        (
            &|it| it.schema = Schema::None,
            "ok    schema          there is none yet: the first start makes it\n",
        ),
        (&|it| it.clock_ahead = -5, ""),
        (
            &|it| it.clock_ahead = 6,
            "look  clock           the database's is 6 s before this machine's: let both follow a time server\n",
        ),
        (
            &|it| it.clock_ahead = -7200,
            "look  clock           the database's is 7200 s behind this machine's: let both follow a time server\n",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(reported(change), expected);
    }
}

#[test]
fn of_a_disk_is_said_how_much_is_free_and_when_to_make_room() {
    for (kib, expected) in [
        (Some(9 * ROOM_MIN), "ok    disk            9 GiB are free\n"),
        (Some(ROOM_MIN), "ok    disk            1 GiB are free\n"),
        (
            Some(ROOM_MIN - 1),
            "look  disk            1023 MiB are free: make room before PostgreSQL needs it\n",
        ),
        (Some(0), "look  disk            0 MiB are free: make room before PostgreSQL needs it\n"),
        (None, "look  disk            `df` does not say how much is free\n"),
    ] {
        let mut report = DoctorReport::default();
        judge_room(&mut report, None, kib);
        assert_eq!((report.to_string().as_str(), report.is_good()), (expected, true));
    }
}

/// The file system of the kernel is another disk everywhere.
#[test]
fn every_disk_that_a_database_is_on_is_looked_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("postgres/data");
    let spaces = data.join("pg_tblspc");
    fs::create_dir_all(&spaces).unwrap();
    assert_eq!(disks(dir.path()), [dir.path()], "a new one has no more");
    fs::create_dir(data.join("pg_wal")).unwrap();
    symlink(dir.path(), spaces.join("16385")).unwrap();
    assert_eq!(disks(dir.path()), [dir.path()], "all of it is on one");
    fs::remove_dir(data.join("pg_wal")).unwrap();
    symlink("/proc", data.join("pg_wal")).unwrap();
    symlink("/proc/self", spaces.join("16386")).unwrap();
    assert_eq!(disks(dir.path()), [dir.path().to_owned(), data.join("pg_wal")]);
    let mut report = DoctorReport::default();
    judge_room(&mut report, Some("/wal".as_ref()), Some(0));
    judge_room(&mut report, Some("/wal".as_ref()), Some(ROOM_MIN));
    judge_room(&mut report, Some("/wal".as_ref()), None);
    let said = "look  disk            0 MiB are free at /wal: make room before PostgreSQL needs it\n\
                ok    disk            1 GiB are free at /wal\n\
                look  disk            `df` does not say how much is free at /wal\n";
    assert_eq!(report.to_string(), said);
}

#[test]
fn of_a_file_that_only_the_daemon_was_given_is_said_where_it_is() {
    let told = "look  settings        the daemon that runs reads /etc/l.toml, and this does not: give --config \
                /etc/l.toml\n";
    for (words, expected) in [
        ("leadlined\0--config\0/etc/l.toml\0--log\0json\0", told),
        ("leadlined\0--log=json\0--config=/etc/l.toml\0", told),
        ("leadlined\0--log=json\0", ""),
        ("", ""),
    ] {
        let mut report = DoctorReport::default();
        judge_settings(&mut report, words);
        assert_eq!(report.to_string(), expected, "{words:?}");
    }
}

#[test]
fn of_what_cannot_be_used_is_said_why() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("postgres/data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("PG_VERSION"), "new\n").unwrap();
    let mut report = DoctorReport::default();
    examine_programs(&mut report, &Config::in_dir(temp.path()));
    let (said, why) = (report.to_string(), "PG_VERSION: it does not hold a version's number\n");
    assert!(said.starts_with("FAIL  database        cannot use ") && said.ends_with(why), "{said}");
}

#[test]
fn of_open_files_is_said_how_many_and_how_to_raise_them() {
    let few =
        "look  open files      4095: raise it to 65536 (LimitNOFILE= in a unit, `ulimit -n` in a shell)\n";
    for (limits, expected) in [
        ("Max processes  10  10  processes\nMax open files  4095  1048576  files\n", few),
        (
            "Max open files            4096                 4096                 files\n",
            "ok    open files      4096\n",
        ),
        ("Max open files            unlimited            unlimited            files\n", ""),
        ("", ""),
    ] {
        let mut report = DoctorReport::default();
        judge_limits(&mut report, limits);
        assert_eq!(report.to_string(), expected);
    }
}

#[test]
fn a_daemon_cannot_work_with_what_fails_alone() {
    for (grade, is_good) in [(Grade::Good, true), (Grade::Look, true), (Grade::Bad, false)] {
        let mut report = DoctorReport::default();
        report.add(Grade::Good, "user", "ann");
        report.add(grade, "clock", "late");
        assert_eq!(report.is_good(), is_good);
    }
}
