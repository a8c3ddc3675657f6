//! TLS to PostgreSQL, as `sslmode` asks for it.

use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use services::Postgres;
use store::StoreError;
use store::postgres::{PostgresSettings, migrate};

/// Gives the server a certificate for `localhost`, and gives it as PEM.
fn secure(server: &Postgres) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mut shell = Client::connect(&server.url(), NoTls).unwrap();
    for (name, text) in [("server.crt", &certificate), ("server.key", &key)] {
        // The server writes its own files: they have to be its account's.
        let put = format!("COPY (SELECT 1) TO PROGRAM $p$umask 077; cat > /dev/null; printf '%s' '{text}' > {name}$p$");
        shell.batch_execute(&put).unwrap();
    }
    shell.batch_execute("ALTER SYSTEM SET ssl = on").unwrap();
    certificate
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test writes a certificate")]
fn a_postgres_is_spoken_to_as_securely_as_asked() {
    let mut server = Postgres::start().unwrap_or_else(|missing| panic!("{missing}"));
    let certificate = secure(&server);
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, certificate).unwrap();
    let url = server.database();
    let check = |query: &str, works: bool| {
        let url =
            format!("{}?{}", url.replace("127.0.0.1", "localhost"), query.replace("ROOTS", roots.to_str().unwrap()));
        let told = migrate(&PostgresSettings { url, acquire_timeout_ms: 5_000, ..PostgresSettings::default() });
        assert_eq!(told.is_ok(), works, "{query}: {told:?}");
        assert!(works || matches!(told, Err(StoreError::Unavailable(_))), "{query}: {told:?}");
    };
    // Without a certificate there is none to be had.
    check("sslmode=require", false);
    check("sslmode=prefer", true);
    server.stop();
    server.restart();
    check("sslmode=require", true);
    check("sslmode=verify-full&sslrootcert=ROOTS", true);
    check("sslmode=verify-full", false);
    check("sslmode=verify-full&sslrootcert=ROOTS.missing", false);
    // Whoever does not encrypt is sent away now.
    let mut shell = Client::connect(&server.url(), NoTls).unwrap();
    let only = "COPY (SELECT 1) TO PROGRAM $p$cat > /dev/null; echo 'hostssl all all all trust' > pg_hba.conf$p$; SELECT pg_reload_conf()";
    shell.batch_execute(only).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while Client::connect(&server.url(), NoTls).is_ok() {
        assert!(Instant::now() < deadline, "it still takes plain connections");
    }
    check("sslmode=prefer", true);
    check("", true);
    check("sslmode=disable", false);
}
