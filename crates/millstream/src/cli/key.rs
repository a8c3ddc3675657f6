//! `millstream key`: a new key, shown once, and the lines of the configuration that let it in.

use anyhow::Context;
use api::keys::{Role, hash_key};
use serde_json::json;

use super::Verdict;
use crate::config::{hex, is_tenant_name};
use crate::output::{self, Output};

/// Bytes of chance in a key: nobody guesses 256 bits.
const KEY_BYTES: usize = 32;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What it allows.
    #[arg(long, value_enum)]
    role: RoleName,
    /// Whose it is; without one it writes for the default tenant and sees all.
    #[arg(long, value_parser = tenant)]
    tenant: Option<String>,
    /// Its name, for people; made up of tenant and role when absent.
    #[arg(long)]
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum RoleName {
    /// Sending events.
    Write,
    /// Reading.
    Read,
    /// Both, and what changes how events are handled.
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Write => Self::Write,
            RoleName::Read => Self::Read,
            RoleName::Admin => Self::Admin,
        }
    }
}

fn tenant(text: &str) -> Result<String, String> {
    match is_tenant_name(text) {
        true => Ok(text.to_owned()),
        false => Err("1 to 63 of a-z, 0-9, `_`, `-`, first a letter or a digit".to_owned()),
    }
}

pub(super) fn run(args: &Args, output: Output) -> Verdict {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    let role = Role::from(args.role).as_str();
    let key = format!("ms_{role}_{}", hex(&bytes));
    let hash = hex(&hash_key(key.as_bytes()));
    let whose = args.tenant.as_ref().map_or_else(String::new, |tenant| format!("{tenant}-"));
    let name = args.name.clone().unwrap_or_else(|| format!("{whose}{role}-{}", &hash[..6]));
    let tenant = args.tenant.as_ref().map_or_else(String::new, |tenant| format!("tenant: {tenant}, "));
    let entry = format!("- {{ name: {}, {tenant}role: {role}, sha256: \"{hash}\" }}", json!(name));
    if output == Output::Json {
        output::line(
            &json!({ "key": key, "name": name, "role": role, "tenant": args.tenant, "sha256": hash }).to_string(),
        );
        return Ok(true);
    }
    output::line(&format!("{key}\n\nIt is shown this once. In millstream.yaml, under `keys`:\n\n  {entry}"));
    Ok(true)
}
