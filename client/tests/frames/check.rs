// SPDX-License-Identifier: Apache-2.0
//! What holds of any bytes that come over a stream between caller and node, or between two bots.

use futures::executor::block_on;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use tfgrid_client::{
    peer::{
        frame::{Frame, FrameError},
        msg::{Reply, TwinMessage},
        protocol::{Control, Message, Request},
    },
    snapshot::{Part, Position},
};

/// Reads the bytes as a node or a bot does and as its caller does. Whatever is a frame is written so that it is read
/// again.
pub fn check(bytes: &[u8]) {
    read_all::<Request>(bytes);
    read_all::<Control>(bytes);
    read_all::<Message>(bytes);
    read_all::<TwinMessage>(bytes);
    read_all::<Reply>(bytes);
    read_part(bytes);
}

/// Reads them as a part of a tree, whose steps are those of one or are refused.
fn read_part(bytes: &[u8]) {
    let Ok(part) = Part::read(bytes) else { return };
    assert_eq!(Part::read(&part.written()), Ok(part.clone()));
    if let Part::Batch(steps) = part {
        let mut position = Position::default();
        let _ = steps.iter().try_for_each(|step| position.step(step).map(drop));
    }
}

fn read_all<M: Serialize + DeserializeOwned + PartialEq + Debug>(mut bytes: &[u8]) {
    block_on(async {
        while let Ok(Some(frame)) = Frame::<M>::read(&mut bytes).await {
            let mut written = Vec::new();
            match frame.write(&mut written).await {
                Ok(()) => assert_eq!(Frame::read(&mut &written[..]).await.unwrap(), Some(frame)),
                // What a message leaves out is written.
                Err(error) => assert!(matches!(error, FrameError::TooLong(_)), "{error}"),
            }
        }
    });
}
