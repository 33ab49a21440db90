//! Lists, honest and hostile: what each names comes out, and nothing is passed over.

use super::*;
use countersign_attest::digest::{Digests, hex};

fn list(kind: Kind, text: &str) -> Vec<Entry> {
    parse(text.as_bytes(), kind, "list").unwrap()
}

fn refused(kind: Kind, text: &str) -> String {
    parse(text.as_bytes(), kind, "list")
        .unwrap_err()
        .to_string()
}

/// An entry as one line: name, package URL, what is known of its bytes.
fn line(entry: &Entry) -> String {
    let digest = |digest: &FileDigest| match digest {
        FileDigest::Sha256(digest) => digest.to_string().chars().take(8).collect::<String>(),
        FileDigest::Sha512(digest) => digest.to_string().chars().take(12).collect(),
    };
    let files = match &entry.files {
        Files::OneOf(files) => files.iter().map(digest).collect::<Vec<_>>().join(" "),
        Files::NameOnly => "name".to_owned(),
        Files::Unconfirmable(why) => why.code().to_owned(),
    };
    let purl = entry.purl.as_ref().map_or("-", Purl::as_str);
    format!("{} | {purl} | {files}", entry.name)
}

#[track_caller]
fn check(kind: Kind, text: &str, expect: &[&str]) {
    let found: Vec<String> = list(kind, text).iter().map(line).collect();
    assert_eq!(found, expect, "{text}");
}

fn sha256() -> String {
    Sha256::of(b"abc").to_string()
}

#[test]
fn cargos_packages_are_of_a_registry_a_repository_or_this_machine() {
    let sum = sha256();
    let text = format!(
        r#"
version = 4
[[package]]
name = "own"
version = "0.1.0"
dependencies = ["serde"]
[[package]]
name = "serde"
version = "1.0.0+b"
source = "registry+https://index.example/x"
checksum = "{sum}"
[[package]]
name = "sparse"
version = "2.0.0"
source = "sparse+https://index.example/"
checksum = "{sum}"
[[package]]
name = "bare"
version = "1.0.0"
source = "registry+https://index.example/x"
[[package]]
name = "odd"
version = "1.0.0"
source = "registry+https://index.example/x"
checksum = "{upper}"
[[package]]
name = "forked"
version = "1.0.0"
source = "git+https://forge.example/x?rev=1#1"
checksum = "{sum}"
"#,
        upper = sum.to_uppercase()
    );
    check(
        Kind::Cargo,
        &text,
        &[
            "bare 1.0.0 | pkg:cargo/bare@1.0.0 | no-digest",
            "forked 1.0.0 | pkg:cargo/forked@1.0.0 | git",
            "odd 1.0.0 | pkg:cargo/odd@1.0.0 | no-digest",
            "own 0.1.0 | pkg:cargo/own@0.1.0 | local",
            "serde 1.0.0+b | pkg:cargo/serde@1.0.0%2Bb | ba7816bf",
            "sparse 2.0.0 | pkg:cargo/sparse@2.0.0 | ba7816bf",
        ],
    );
    // version 1 has the digests elsewhere
    let text = format!(
        "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n\
         [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n\
         [metadata]\n\"checksum a 1.0.0 (registry+x)\" = \"{sum}\"\n\
         \"checksum b 1.0.0 (registry+y)\" = \"{sum}\"\n"
    );
    check(
        Kind::Cargo,
        &text,
        &[
            "a 1.0.0 | pkg:cargo/a@1.0.0 | ba7816bf",
            "b 1.0.0 | pkg:cargo/b@1.0.0 | no-digest",
        ],
    );
}

#[test]
fn our_own_lock_has_every_package_with_its_digest_or_as_ours() {
    let text = include_str!("../../../Cargo.lock");
    let entries = list(Kind::Cargo, text);
    assert_eq!(entries.len(), text.matches("[[package]]").count());
    let digests = entries
        .iter()
        .filter(|entry| matches!(&entry.files, Files::OneOf(one) if one.len() == 1));
    assert_eq!(digests.count(), text.matches("\nchecksum = ").count());
    let local = entries
        .iter()
        .filter(|entry| entry.files == Files::Unconfirmable(Why::Local));
    let names: Vec<&str> = local.map(|entry| entry.name.as_str()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("countersign")));
}

fn integrity(kind: &str) -> String {
    use base64::Engine as _;
    let digests = Digests::of(b"abc");
    let bytes = match kind {
        "sha512" => digests.sha512.as_bytes().to_vec(),
        "sha256" => digests.sha256.as_bytes().to_vec(),
        _ => vec![7; 20],
    };
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("{kind}-{text}")
}

#[test]
fn npm_names_packages_by_place_or_by_name() {
    let [s512, s256, s1] = ["sha512", "sha256", "sha1"].map(integrity);
    let text = format!(
        r#"{{"name":"own","lockfileVersion":3,"packages":{{
          "":{{"name":"own","version":"1.0.0"}},
          "packages/member":{{"version":"2.0.0"}},
          "node_modules/member":{{"resolved":"packages/member","link":true}},
          "node_modules/left-pad":{{"version":"1.3.0","resolved":"https://registry.example/l.tgz","integrity":"{s512}"}},
          "node_modules/x/node_modules/@scope/lib":{{"version":"1.0.0","integrity":"{s1} {s512}"}},
          "node_modules/alias":{{"name":"real","version":"3.0.0","integrity":"{s256}"}},
          "node_modules/old":{{"version":"0.1.0","integrity":"{s1}"}},
          "node_modules/forked":{{"version":"1.0.0","resolved":"git+ssh://git@forge.example/a.git#1","integrity":"{s512}"}},
          "node_modules/inner":{{"version":"1.0.0","inBundle":true}},
          "node_modules/tar":{{"version":"1.0.0","resolved":"file:../t.tgz"}},
          "node_modules/bare":{{"version":"1.0.0","resolved":"https://registry.example/b.tgz"}}
        }}}}"#
    );
    check(
        Kind::Npm,
        &text,
        &[
            "@scope/lib 1.0.0 | pkg:npm/%40scope/lib@1.0.0 | ddaf35a19361",
            "bare 1.0.0 | pkg:npm/bare@1.0.0 | no-digest",
            "forked 1.0.0 | pkg:npm/forked@1.0.0 | git",
            "inner 1.0.0 | pkg:npm/inner@1.0.0 | bundled",
            "left-pad 1.3.0 | pkg:npm/left-pad@1.3.0 | ddaf35a19361",
            "member | - | local",
            "old 0.1.0 | pkg:npm/old@0.1.0 | other-digest",
            "own 1.0.0 | pkg:npm/own@1.0.0 | local",
            "packages/member 2.0.0 | pkg:npm/packages/member@2.0.0 | local",
            "real 3.0.0 | pkg:npm/real@3.0.0 | ba7816bf",
            "tar 1.0.0 | pkg:npm/tar@1.0.0 | local",
        ],
    );
    let text = format!(
        r#"{{"lockfileVersion":1,"dependencies":{{
          "a":{{"version":"1.0.0","integrity":"{s512}","dependencies":{{
            "b":{{"version":"npm:@real/b@2.0.0","integrity":"{s512}"}},
            "c":{{"version":"git+https://forge.example/c#1"}},
            "d":{{"version":"1.0.0","bundled":true}}}}}},
          "e":{{"version":"file:../e"}},"f":{{"version":"https://h.example/f.tgz"}}}}}}"#
    );
    check(
        Kind::Npm,
        &text,
        &[
            "@real/b 2.0.0 | pkg:npm/%40real/b@2.0.0 | ddaf35a19361",
            "a 1.0.0 | pkg:npm/a@1.0.0 | ddaf35a19361",
            "c git+https://forge.example/c#1 | - | git",
            "d 1.0.0 | pkg:npm/d@1.0.0 | bundled",
            "e file:../e | - | local",
            "f https://h.example/f.tgz | - | no-digest",
        ],
    );
}

/// Version 2 tells old clients one thing and new clients another: neither may hide.
#[test]
fn both_halves_of_npms_version_2_are_looked_at() {
    let one = integrity("sha512");
    let text = format!(
        r#"{{"lockfileVersion":2,"packages":{{"node_modules/a":{{"version":"1.0.0","integrity":"{one}"}}}},
          "dependencies":{{"a":{{"version":"1.0.0","integrity":"{one}"}},"evil":{{"version":"6.6.6"}}}}}}"#
    );
    check(
        Kind::Npm,
        &text,
        &[
            "a 1.0.0 | pkg:npm/a@1.0.0 | ddaf35a19361",
            "evil 6.6.6 | pkg:npm/evil@6.6.6 | no-digest",
        ],
    );
}

#[test]
fn of_several_digests_the_client_takes_the_strongest_kind_and_any_of_it() {
    let other = format!("sha512-{}", integrity("sha512")[7..].replace('3', "4"));
    let both = format!("{} {other}", integrity("sha512"));
    let text = |integrity: &str| {
        format!(
            r#"{{"lockfileVersion":3,"packages":{{"node_modules/a":{{"version":"1","integrity":"{integrity}"}}}}}}"#
        )
    };
    let files = |integrity: &str| list(Kind::Npm, &text(integrity)).remove(0).files;
    assert!(matches!(files(&both), Files::OneOf(all) if all.len() == 2));
    for unknown in [
        format!("{} sha384-AAAA", integrity("sha256")),
        format!("{} sha512-AAAA", integrity("sha512")),
        "sha512-!".to_owned(),
        String::new(),
    ] {
        let why = Files::Unconfirmable(Why::OtherDigest);
        assert_eq!(files(&unknown), why, "{unknown}");
    }
}

#[test]
fn requirements_are_read_as_pip_reads_them() {
    let (sum, other) = (sha256(), "1".repeat(64));
    let text = format!(
        "# a comment\n--index-url https://index.example/simple\n-c constraints.txt\n\n\
         Foo_Bar[x,y]==1.0 ; python_version < '4' \\\n    --hash=sha256:{sum} \\\n    --hash=sha256:{other}  # two\n\
         plain == 2.0.1+local --hash sha256:{sum}\n\
         bare==1\nrange>=1,<2 --hash=sha256:{sum}\nstar==1.* --hash=sha256:{sum}\nany\n\
         strong==1 --hash=sha512:{long}\nmixed==1 --hash=sha256:{sum} --hash=sha384:{sum}\n\
         url @ https://h.example/u-1.whl#x --hash=sha256:{sum}\nlib @ git+https://forge.example/lib@v1\n\
         ./local-1.whl\nhttps://h.example/z.zip\n-e .\n-e git+https://forge.example/e#egg=e\n-r more.txt\n",
        long = hex(Digests::of(b"abc").sha512.as_bytes()),
    );
    check(
        Kind::Requirements,
        &text,
        &[
            ". | - | local",
            "./local-1.whl | - | local",
            "Foo_Bar[x,y]==1.0 | pkg:pypi/foo-bar@1.0 | 11111111 ba7816bf",
            "any | - | no-version",
            "bare==1 | pkg:pypi/bare@1 | no-digest",
            "git+https://forge.example/e#egg=e | - | git",
            "https://h.example/z.zip | - | no-digest",
            "lib @ git+https://forge.example/lib@v1 | - | git",
            "mixed==1 | pkg:pypi/mixed@1 | other-digest",
            "more.txt | - | another-list",
            "plain == 2.0.1+local | pkg:pypi/plain@2.0.1%2Blocal | ba7816bf",
            "range>=1,<2 | - | no-version",
            "star==1.* | - | no-version",
            "strong==1 | pkg:pypi/strong@1 | ddaf35a19361",
            "url @ https://h.example/u-1.whl#x | - | ba7816bf",
        ],
    );
}

#[test]
fn what_is_no_such_list_is_refused_whole() {
    let deep = |open: &str, shut: &str, n: usize| open.repeat(n) + &shut.repeat(n);
    let nested = format!(
        r#"{{"lockfileVersion":1,"dependencies":{}"#,
        deep(r#"{"a":{"version":"1","dependencies":"#, "}}", 400)
    );
    for (kind, text) in [
        (Kind::Cargo, "{}"),
        (Kind::Cargo, "version = 5\n"),
        (Kind::Cargo, "[[package]]\nname = \"a\"\n"),
        (
            Kind::Cargo,
            "[[package]]\nname = \"a\"\nname = \"b\"\nversion = \"1\"\n",
        ),
        (Kind::Cargo, "package = 1\n"),
        (Kind::Cargo, &format!("x = {}", deep("[", "]", 100_000))),
        (Kind::Npm, "[]"),
        (Kind::Npm, "{}"),
        (Kind::Npm, r#"{"lockfileVersion":3}"#),
        (Kind::Npm, r#"{"lockfileVersion":4,"packages":{}}"#),
        (Kind::Npm, r#"{"lockfileVersion":0,"dependencies":{}}"#),
        (Kind::Npm, r#"{"lockfileVersion":1,"packages":{}}"#),
        (Kind::Npm, r#"{"lockfileVersion":2,"dependencies":{}}"#),
        (
            Kind::Npm,
            r#"{"lockfileVersion":3,"packages":{"a":{},"a":{}}}"#,
        ),
        (Kind::Npm, &nested),
        (Kind::Requirements, "a==1 --hash=sha256:zz\n"),
        (Kind::Requirements, "a==1 --hash=sha256\n"),
        (Kind::Requirements, "a==1 --hash\n"),
        (Kind::Requirements, "-rmore.txt\n"),
        (Kind::Requirements, "--new-option x\n"),
    ] {
        let error = refused(kind, text);
        assert!(error.starts_with("list is no "), "{error}");
    }
    assert!(parse(b"\xff", Kind::Cargo, "list").is_err());
    assert!(parse(b"\xff", Kind::Requirements, "list").is_err());
    let many: String = (0..=MAX_ENTRIES).map(|n| format!("a{n}==1\n")).collect();
    assert!(refused(Kind::Requirements, &many).contains("more than 50000 packages"));
    assert_eq!(list(Kind::Requirements, "").len(), 0);
}

/// The first characters that break a parser are often the first of another format: nothing panics, and what is
/// read is either an entry or refused.
#[test]
fn every_piece_of_a_list_is_read_or_refused() {
    let cargo = include_str!("../../../Cargo.lock");
    let npm = include_str!("../../../tests/interop/package-lock.json");
    let pip = include_str!("../../../tests/interop/requirements.txt");
    for (kind, text) in [
        (Kind::Cargo, &cargo[..4000]),
        (Kind::Npm, npm),
        (Kind::Requirements, pip),
    ] {
        for step in (0..text.len()).step_by(17) {
            let mut bytes = text.as_bytes().to_vec();
            bytes[step] ^= 0x11;
            let _ = parse(&bytes, kind, "list");
            let _ = parse(&bytes[..step], kind, "list");
        }
    }
}

#[test]
fn locks_that_clients_made_name_what_they_name() {
    let npm = include_str!("../../../tests/interop/package-lock.json");
    let entries = list(Kind::Npm, npm);
    let known = entries
        .iter()
        .filter(|e| matches!(e.files, Files::OneOf(_)));
    let places = npm.matches("\"integrity\"").count();
    assert!((1..=places).contains(&known.count()), "{places}");
    let pip = include_str!("../../../tests/interop/requirements.txt");
    let entries = list(Kind::Requirements, pip);
    assert!(entries.iter().all(|e| e.purl.is_some()), "{entries:#?}");
}
