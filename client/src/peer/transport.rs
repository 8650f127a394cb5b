// SPDX-License-Identifier: Apache-2.0
//! How endpoints carry their streams.

use iroh::endpoint::{QuicTransportConfig, VarInt};

/// The other end is gone if it isn't heard for so long.
const IDLE_MS: u32 = 30_000;

/// Settings for connections on which the other end may open so many streams. `window_bytes` limits what waits in each
/// direction of a connection, over all its streams: the memory that one other end takes here.
pub fn transport(streams: u32, window_bytes: u32) -> QuicTransportConfig {
    QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(0u32.into())
        .receive_window(window_bytes.into())
        .send_window(window_bytes.into())
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_MS).into()))
        .build()
}
