// SPDX-License-Identifier: Apache-2.0
//! Accounts as people write them.

use tfgrid_client::{AccountId32, primitives::TwinId};

/// The form of an account, for error messages.
pub const EXAMPLE: &str = "an SS58 address such as 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

/// An account, SS58.
pub fn parse_account(text: &str) -> Result<AccountId32, String> {
    text.parse().map_err(|_| format!("an account is {EXAMPLE}{}", hint(text)))
}

/// Where to find the account that may be meant.
fn hint(text: &str) -> String {
    if text.starts_with("//") {
        return "; `threebot balance` with --key shows that of a key".into();
    }
    match text.parse::<TwinId>() {
        Ok(twin) => format!("; `threebot twin show {twin}` shows that of a twin"),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_account_is_refused_with_a_hint() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        assert_eq!(parse_account(alice), Ok(alice.parse().unwrap()));
        for (wrong, hint) in
            [("alice", EXAMPLE), (&alice[1..], EXAMPLE), ("//Alice", "--key"), ("7", "twin show 7")]
        {
            let error = parse_account(wrong).unwrap_err();
            assert!(
                error.starts_with("an account is an SS58 address") && error.contains(hint),
                "{wrong}: {error}"
            );
        }
    }
}
