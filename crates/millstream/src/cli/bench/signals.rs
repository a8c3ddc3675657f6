//! Signals of realistic entropy as lines of JSON, by a seed: 384 bytes each on average, the five types with their weights
//! and payloads, many users.

use std::io::Write;

use event::Millis;
use fastrand::Rng;

/// As many users: their logins, failures and places are the keys that the rules remember.
pub(super) const USERS: u32 = 100_000;

/// One signal.
pub(super) fn line(rng: &mut Rng, time: Millis, out: &mut Vec<u8>) {
    let user = rng.u32(0..USERS);
    let kind = match rng.u8(0..100) {
        0..40 => "click",
        40..70 => "api_call",
        70..85 => "file_access",
        85..95 => "login",
        _ => "purchase",
    };
    head(rng, user, kind, time, out);
    match kind {
        "click" => put(
            out,
            format_args!(
                r#""page":"{}","element":"{}","coordinates":{{"x":{},"y":{}}}"#,
                one(rng, &["/home", "/products", "/cart", "/profile", "/settings"]),
                one(rng, &["button", "link", "image", "form"]),
                rng.u32(0..=1_920),
                rng.u32(0..=1_080),
            ),
        ),
        "api_call" => put(
            out,
            format_args!(
                r#""endpoint":"{}","method":"{}","status_code":{},"response_time_ms":{}"#,
                one(rng, &["/api/users", "/api/products", "/api/orders", "/api/analytics"]),
                one(rng, &["GET", "POST", "PUT", "DELETE"]),
                one(rng, &["200", "200", "200", "400", "401", "500"]),
                rng.u32(10..=500),
            ),
        ),
        "file_access" => put(
            out,
            format_args!(
                r#""file_path":"/data/user_{user}/file_{}.txt","action":"{}","file_size":{}"#,
                rng.u32(1..=100),
                one(rng, &["read", "write", "delete"]),
                rng.u32(1_024..=1_048_576),
            ),
        ),
        "login" => {
            let home = ["US", "EU", "ASIA", "CA"][user as usize % 4];
            let location = if rng.u8(0..50) == 0 { one(rng, &["US", "EU", "ASIA", "CA"]) } else { home };
            login(rng.u8(0..10) < 8, location, out);
        }
        _ => put(
            out,
            format_args!(
                r#""amount":{}.{:02},"currency":"USD","product_id":"prod_{}","payment_method":"{}""#,
                rng.u32(5..1_010),
                rng.u32(0..100),
                rng.u32(100..=999),
                one(rng, &["credit_card", "paypal", "bank_transfer"]),
            ),
        ),
    }
    tail(rng, user, out);
}

/// A login of this user that failed: three rules remember it.
pub(super) fn failure(rng: &mut Rng, user: u32, time: Millis, out: &mut Vec<u8>) {
    head(rng, user, "login", time, out);
    login(false, "US", out);
    tail(rng, user, out);
}

fn head(rng: &mut Rng, user: u32, kind: &str, time: Millis, out: &mut Vec<u8>) {
    let id = uuid::Builder::from_random_bytes(rng.u128(..).to_le_bytes()).into_uuid();
    put(out, format_args!(r#"{{"event_id":"{id}","user_id":{user},"type":"{kind}","timestamp":{time},"payload":{{"#));
}

fn login(success: bool, location: &str, out: &mut Vec<u8>) {
    put(out, format_args!(r#""login_method":"password","success":{success},"location":"{location}""#));
}

fn tail(rng: &mut Rng, user: u32, out: &mut Vec<u8>) {
    put(
        out,
        format_args!(
            r#","session_id":"sess_{user}_{}","ip_address":"192.168.{}.{}","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.6478.127 Safari/537.36"}}}}"#,
            rng.u32(1_000..=9_999),
            rng.u8(..),
            rng.u8(..),
        ),
    );
    out.push(b'\n');
}

fn one<'w>(rng: &mut Rng, choices: &[&'w str]) -> &'w str {
    choices[rng.usize(..choices.len())]
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    drop(out.write_fmt(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_json_of_the_size_that_is_told() {
        let (mut rng, mut bytes) = (Rng::with_seed(7), Vec::new());
        (0..2_000).for_each(|i| line(&mut rng, 1_736_906_550_000 + i, &mut bytes));
        (0..10).for_each(|user| failure(&mut rng, user, 1_736_906_550_000, &mut bytes));
        let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 2_010);
        for line in &lines {
            let signal: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert!(signal["user_id"].is_u64() && signal["payload"]["session_id"].is_string(), "{signal}");
        }
        let mean = bytes.len() / lines.len();
        assert!((375..395).contains(&mean), "{mean}");
    }
}
