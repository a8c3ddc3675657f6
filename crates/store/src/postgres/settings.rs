//! What can be set of the store on PostgreSQL, and what its URL says. The password is never shown.

use std::fmt;
use std::time::Duration;

use postgres::config::{Host, SslMode};

use crate::StoreError;

/// What can be set of a [`super::PostgresStore`].
#[derive(Clone)]
pub struct PostgresSettings {
    /// Where the database is: `postgres://user:password@host:port/database?sslmode=verify-full`, or the same as
    /// `host=… user=…`. What PostgreSQL's own tools understand is understood, `sslmode` and `sslrootcert` included:
    /// `prefer` (when nothing is said) and `require` encrypt without asking who answers, `verify-ca` and `verify-full`
    /// check the certificate and the name, against the file `sslrootcert` or the system's.
    pub url: String,
    /// Connections at the most, at least 1; one more call waits.
    pub pool: u32,
    /// How long a call waits for a connection before it gives up with [`StoreError::Unavailable`], in milliseconds.
    pub acquire_timeout_ms: u64,
    /// How long one statement may take, in milliseconds; 0 sets no bound.
    pub statement_timeout_ms: u64,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self { url: String::new(), pool: 10, acquire_timeout_ms: 5_000, statement_timeout_ms: 60_000 }
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = Target::of(self).map_or_else(|_| "unreadable".to_owned(), |target| target.place());
        f.debug_struct("PostgresSettings")
            .field("place", &place)
            .field("pool", &self.pool)
            .field("acquire_timeout_ms", &self.acquire_timeout_ms)
            .field("statement_timeout_ms", &self.statement_timeout_ms)
            .finish()
    }
}

/// How a connection is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// Not at all.
    Plain,
    /// Encrypted, whoever answers.
    Encrypted,
    /// Encrypted, and the other side proves who it is; by these roots, or the system's.
    Verified { roots: Option<String> },
}

/// Where and how to connect.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: postgres::Config,
    pub(super) security: Security,
}

impl Target {
    pub(super) fn of(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let (url, mode, roots) = take_ssl(settings.url.trim());
        let bad = |why: &str| StoreError::Incompatible(format!("the database URL cannot be used: {why}"));
        let mut config: postgres::Config = url.parse().map_err(|e: postgres::Error| {
            // The cause names the option at fault, never its value.
            bad(&super::fault::told(&e))
        })?;
        let (ssl_mode, security) = match mode.as_deref() {
            Some("disable") => (SslMode::Disable, Security::Plain),
            None | Some("allow" | "prefer") => (SslMode::Prefer, Security::Encrypted),
            Some("require") if roots.is_none() => (SslMode::Require, Security::Encrypted),
            Some("require" | "verify-ca" | "verify-full") => (SslMode::Require, Security::Verified { roots }),
            Some(_) => {
                return Err(bad("sslmode is one of disable, allow, prefer, require, verify-ca, verify-full"));
            }
        };
        config.ssl_mode(ssl_mode);
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(bad("it names no host"));
        }
        if config.get_application_name().is_none() {
            config.application_name("millstream");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_millis(settings.acquire_timeout_ms.max(1)));
        }
        if config.get_tcp_user_timeout().is_none() {
            // A server that vanished must not hold a commit for as long as the system resends.
            config.tcp_user_timeout(Duration::from_secs(10)).keepalives_idle(Duration::from_secs(10));
            config.keepalives_interval(Duration::from_secs(3)).keepalives_retries(3);
        }
        // What is cut at an `@` of the password would be shown as the host.
        if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(name) if name.contains('@'))) {
            return Err(bad("an `@` in the user or the password is written %40"));
        }
        Ok(Self { config, security })
    }

    /// Where it is, for people: user, host, port and database.
    pub(super) fn place(&self) -> String {
        let config = &self.config;
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let user = config.get_user().unwrap_or("the system's user");
        let database = config.get_dbname().unwrap_or(user);
        format!("database {database} at {host}:{port} as {user}")
    }
}

/// Takes `sslmode` and `sslrootcert` out of a URL or of `key=value` pairs: the client library knows half of the first and
/// nothing of the second.
fn take_ssl(url: &str) -> (String, Option<String>, Option<String>) {
    let (mut mode, mut roots) = (None, None);
    let mut keep = |pair: &&str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "sslmode" => mode = Some(value.to_owned()),
            "sslrootcert" => roots = Some(value.replace("%2F", "/").replace("%2f", "/")),
            _ => return true,
        }
        false
    };
    let rest = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let authority = url.rfind('@').unwrap_or(0);
        match url[authority..].find('?').map(|at| url.split_at(authority + at)) {
            None => url.to_owned(),
            Some((place, query)) => {
                let kept: Vec<_> = query[1..].split('&').filter(&mut keep).collect();
                if kept.is_empty() { place.to_owned() } else { format!("{place}?{}", kept.join("&")) }
            }
        }
    } else {
        url.split(' ').filter(&mut keep).collect::<Vec<_>>().join(" ")
    };
    (rest, mode, roots.filter(|path| path != "system"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, StoreError> {
        Target::of(&PostgresSettings { url: url.to_owned(), ..PostgresSettings::default() })
    }

    #[test]
    fn a_url_says_where_and_how_securely() {
        let verified = |roots: Option<&str>| Security::Verified { roots: roots.map(str::to_owned) };
        for (url, mode, security) in [
            ("postgres://u:p%40@db:6000/x", SslMode::Prefer, Security::Encrypted),
            ("postgres://u:p%40@db:6000/x?sslmode=disable", SslMode::Disable, Security::Plain),
            ("postgresql://u:p%40@db:6000/x?sslmode=require&connect_timeout=3", SslMode::Require, Security::Encrypted),
            ("postgres://u:p%40@db:6000/x?sslmode=verify-full", SslMode::Require, verified(None)),
            (
                "postgres://u:p%40@db:6000/x?sslmode=verify-ca&sslrootcert=%2Fca.pem",
                SslMode::Require,
                verified(Some("/ca.pem")),
            ),
            (
                "host=db port=6000 user=u password=p@ dbname=x sslmode=verify-full sslrootcert=system",
                SslMode::Require,
                verified(None),
            ),
        ] {
            let target = target(url).unwrap();
            assert_eq!((target.config.get_ssl_mode(), &target.security), (mode, &security), "{url}");
            assert_eq!(target.config.get_password(), Some(&b"p@"[..]));
            assert_eq!(target.place(), "database x at db:6000 as u");
        }
        for url in ["", "postgres://u@db/x?sslmode=maybe", "postgres://u@db/x?nonsense=1", "user=x"] {
            assert!(matches!(target(url), Err(StoreError::Incompatible(_))), "{url}");
        }
    }

    #[test]
    fn nobody_is_shown_the_password() {
        for url in [
            "postgres://u:secret@db/x",
            "postgres://u:p@secret@db/x",
            "host=db password=secret user=u",
            "postgres://u:secret@db/x?port=secret",
        ] {
            let settings = PostgresSettings { url: url.to_owned(), ..PostgresSettings::default() };
            let told = target(url).map(|t| t.place()).unwrap_or_else(|e| e.to_string());
            assert!(!format!("{settings:?} {told}").contains("secret"), "{url}: {settings:?} {told}");
        }
    }
}
