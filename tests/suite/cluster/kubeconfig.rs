//! Which cluster and who we are there, as the kubeconfig says.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use smp_image::cluster::{Access, Cluster, ClusterError};

use super::fake_api::FakeApi;
use super::{kubeconfig, patience, run_with, well, work};

fn environment(pairs: &[(&str, &Path)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, path)| ((*name).to_owned(), path.display().to_string())).collect()
}

fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, text).unwrap();
    let error = Access::find(&BTreeMap::new(), Some(&path), None).unwrap_err();
    assert!(matches!(error, ClusterError::Config(_)), "{error:?}");
    error.to_string().replace(&folder.path().display().to_string(), "FOLDER")
}

#[test]
fn a_kubeconfig_that_does_not_read_is_told_without_quoting_it() {
    let message = refused("token: [secret\n  x: - y");
    assert!(message.starts_with("the kubeconfig FOLDER/config does not read"), "{message}");
    assert!(!message.contains("secret"), "{message}");
    assert!(refused("").contains("no current context"));
    assert!(refused("current-context: a\ncontexts: []\n").contains("no context `a`; it has: none"));
    let good = kubeconfig("http://127.0.0.1:1", "{}");
    assert!(
        refused(&good.replace("cluster: c,", "cluster: d,"))
            .contains("names a cluster `d` that the kubeconfig lacks")
    );
    assert!(
        refused(&good.replace("user: u,", "user: v,")).contains("names a user `v` that the kubeconfig lacks")
    );
    assert!(
        refused(&good.replace("http://127.0.0.1:1", "ftp://x"))
            .contains("`ftp://x` is no address of a cluster")
    );
    for (user, words) in [
        ("{auth-provider: {name: gcp}}", "auth-provider"),
        ("{username: a, password: b}", "no longer takes"),
        ("{client-certificate-data: aaaa}", "without its key"),
        ("{client-key-data: aaaa}", "without its certificate"),
        ("{client-certificate-data: \"%\"}", "not base64"),
        ("{client-certificate: nowhere.pem}", "cannot read FOLDER/nowhere.pem"),
    ] {
        let message = refused(&kubeconfig("http://127.0.0.1:1", user));
        assert!(message.contains(words), "{user}: {message}");
    }
}

#[test]
fn without_any_kubeconfig_it_is_said_where_one_was_looked_for() {
    let home = tempfile::tempdir().unwrap();
    let error = Access::find(&environment(&[("HOME", home.path())]), None, None).unwrap_err();
    assert!(error.to_string().contains("~/.kube/config is not there"), "{error}");
}

#[test]
fn several_files_are_one_kubeconfig_and_the_first_to_say_something_wins() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a"), folder.path().join("b"));
    std::fs::write(&first, "current-context: other\ncontexts:\n- name: other\n  context: {cluster: c, user: u, namespace: one}\n").unwrap();
    std::fs::write(&second, kubeconfig("http://127.0.0.1:1", "{token: t}")).unwrap();
    let paths = std::env::join_paths([&first, &second]).unwrap().into_string().unwrap();
    let environment = BTreeMap::from([("KUBECONFIG".to_owned(), paths)]);
    assert_eq!(Access::find(&environment, None, None).unwrap().namespace, "one");
    assert_eq!(Access::find(&environment, None, Some("here")).unwrap().namespace, "team");
}

#[test]
fn what_opens_the_cluster_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, kubeconfig("https://127.0.0.1:1", "{token: very-secret}")).unwrap();
    let access = Access::find(&BTreeMap::new(), Some(&path), None).unwrap();
    assert_eq!(format!("{access:?}"), "Access(https://127.0.0.1:1/)");
}

/// Writes a program that gives credentials.
fn plugin(folder: &Path, script: &str) {
    let path = folder.join("get-token");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

const EXEC: &str = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./get-token, args: [a], env: [{name: WHO, value: me}], installHint: install it}}";

#[tokio::test]
async fn a_program_for_credentials_is_asked_again_when_its_token_has_run_out() {
    let api = FakeApi::start().await;
    well(&api);
    api.with(|world| world.token = Some("token-2".to_owned()));
    let folder = tempfile::tempdir().unwrap();
    // The first token is of yesterday; the second is good.
    plugin(
        folder.path(),
        "test \"$WHO $1\" = 'me a' || exit 9\ncase $KUBERNETES_EXEC_INFO in *ExecCredential*) ;; *) exit 8;; esac\ncd \"$(dirname \"$0\")\"\n\
         n=$(($(cat count 2>/dev/null || echo 0) + 1)); echo $n > count\n\
         echo '{\"kind\":\"ExecCredential\",\"status\":{\"token\":\"token-'$n'\"}}'",
    );
    let path = folder.path().join("config");
    std::fs::write(&path, kubeconfig(&api.address, EXEC)).unwrap();
    let variables = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    let access = Access::find(&variables, Some(&path), None).unwrap();
    let cluster = Cluster::connect(access, patience()).await.unwrap();
    assert_eq!(run_with(&cluster, &work()).await.0.unwrap()[0].status, Some(0));
    assert_eq!(std::fs::read_to_string(folder.path().join("count")).unwrap(), "2\n");
}

#[tokio::test]
async fn a_program_for_credentials_that_fails_is_named_with_its_last_words_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, kubeconfig("http://127.0.0.1:1", EXEC)).unwrap();
    let asked = async |script: &str| {
        plugin(folder.path(), script);
        let access =
            Access::find(&BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]), Some(&path), None)
                .unwrap();
        let error = Cluster::connect(access, patience()).await.unwrap_err();
        assert!(
            matches!(&error, ClusterError::Credentials { hint, .. } if hint == "install it"),
            "{error:?}"
        );
        error.to_string()
    };
    let said = asked("echo first >&2; echo 'Error: token has expired' >&2; exit 255").await;
    assert!(said.contains("ended with exit status: 255 and said: Error: token has expired"), "{said}");
    let said = asked("echo not json secret-token").await;
    assert!(said.contains("wrote no ExecCredential") && !said.contains("secret"), "{said}");
    let said = asked("echo '{\"status\":{}}'").await;
    assert!(said.contains("gave neither a token nor a certificate"), "{said}");
    std::fs::remove_file(folder.path().join("get-token")).unwrap();
    let access = Access::find(&BTreeMap::new(), Some(&path), None).unwrap();
    let error = Cluster::connect(access, patience()).await.unwrap_err();
    assert!(error.to_string().contains("cannot be started"), "{error}");
}

#[tokio::test]
async fn a_cluster_that_does_not_know_us_says_so_and_the_token_is_not_shown() {
    let api = FakeApi::start().await;
    api.with(|world| world.token = Some("another".to_owned()));
    let error = super::run(&api, &work()).await.0.unwrap_err();
    assert!(matches!(error, ClusterError::Unauthorised { .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("secret"), "{error:?}");
}
