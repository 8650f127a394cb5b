// SPDX-License-Identifier: Apache-2.0

/// Whether the first argument asks for help, which is printed then.
pub fn asks_for_help(help: &str) -> bool {
    let asks = std::env::args().nth(1).is_some_and(|word| word == "--help" || word == "-h");
    if asks {
        println!("{help}");
    }
    asks
}
