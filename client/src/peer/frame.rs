// SPDX-License-Identifier: Apache-2.0
//! The frames on a stream between caller and node.

use serde::{Serialize, de::DeserializeOwned};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Upper limit of the bytes in a frame, beside its header.
pub const MAX_FRAME_BYTES: usize = 65_536;
/// Upper limit of a UDP datagram.
pub const MAX_DATAGRAM_BYTES: usize = 65_535;

const MESSAGE: u8 = 0;
const DATA: u8 = 1;
const ERRORS: u8 = 2;

/// A frame: five bytes of header, length (big-endian `u32`) and kind, and as many bytes as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<M> {
    /// A message in JSON.
    Message(M),
    /// Bytes of a standard stream, a datagram or an archive.
    Data(Vec<u8>),
    /// Bytes of a program's standard error.
    Errors(Vec<u8>),
}

/// A stream that doesn't have a whole frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// No more can be read or written: the connection is gone, or the other side wants no more.
    #[error(transparent)]
    Stream(#[from] io::Error),
    /// The frame is longer than [`MAX_FRAME_BYTES`].
    #[error("a frame of {0} bytes is longer than {MAX_FRAME_BYTES}")]
    TooLong(usize),
    /// There is no such kind of frames.
    #[error("no frame is of kind {0}")]
    Kind(u8),
    /// The message isn't one that may stand here.
    #[error("a message can't be read: {0}")]
    Message(#[from] serde_json::Error),
}

impl<M: Serialize> Frame<M> {
    /// Writes the frame. Data that is too long for a frame goes into several.
    ///
    /// # Errors
    /// If the stream breaks, or the message is too long.
    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> Result<(), FrameError> {
        match self {
            Self::Message(message) => {
                let text = serde_json::to_vec(message)?;
                if text.len() > MAX_FRAME_BYTES {
                    return Err(FrameError::TooLong(text.len()));
                }
                write(to, MESSAGE, &text).await
            }
            Self::Data(bytes) => write_data(to, DATA, bytes).await,
            Self::Errors(bytes) => write_data(to, ERRORS, bytes).await,
        }
    }
}

impl<M: DeserializeOwned> Frame<M> {
    /// Reads a frame; `None` at the end of the stream.
    ///
    /// # Errors
    /// If the stream breaks or has something else.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<Self>, FrameError> {
        let mut header = [0; 5];
        let begun = from.read(&mut header).await?;
        if begun == 0 {
            return Ok(None);
        }
        from.read_exact(&mut header[begun..]).await?;
        let [length @ .., kind] = header;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong(length));
        }
        if kind > ERRORS {
            return Err(FrameError::Kind(kind));
        }
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes).await?;
        Ok(Some(match kind {
            MESSAGE => Self::Message(serde_json::from_slice(&bytes)?),
            DATA => Self::Data(bytes),
            _ => Self::Errors(bytes),
        }))
    }
}

async fn write_data(to: &mut (impl AsyncWrite + Unpin), kind: u8, bytes: &[u8]) -> Result<(), FrameError> {
    if bytes.is_empty() {
        return write(to, kind, bytes).await;
    }
    for part in bytes.chunks(MAX_FRAME_BYTES) {
        write(to, kind, part).await?;
    }
    Ok(())
}

async fn write(to: &mut (impl AsyncWrite + Unpin), kind: u8, bytes: &[u8]) -> Result<(), FrameError> {
    let mut frame = Vec::with_capacity(bytes.len() + 5);
    frame.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    frame.push(kind);
    frame.extend_from_slice(bytes);
    Ok(to.write_all(&frame).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Option<Frame<Vec<u8>>>, FrameError> {
        Frame::read(&mut &bytes[..]).await
    }

    #[tokio::test]
    async fn frames_are_read_as_they_are_written() {
        let frames = [
            Frame::Message(vec![7u8]),
            Frame::Data(Vec::new()),
            Frame::Data(b"out".to_vec()),
            Frame::Errors(b"err".to_vec()),
        ];
        let mut bytes = Vec::new();
        for frame in &frames {
            frame.write(&mut bytes).await.unwrap();
        }
        assert_eq!(&bytes[..8], b"\0\0\0\x03\0[7]");
        let mut rest = &bytes[..];
        for frame in frames {
            assert_eq!(Frame::read(&mut rest).await.unwrap(), Some(frame));
        }
        assert_eq!(Frame::<Vec<u8>>::read(&mut rest).await.unwrap(), None);
    }

    #[tokio::test]
    async fn long_data_goes_into_several_frames() {
        let mut bytes = Vec::new();
        Frame::<()>::Data(vec![1; MAX_FRAME_BYTES + 1]).write(&mut bytes).await.unwrap();
        assert_eq!(bytes.len(), MAX_FRAME_BYTES + 1 + 2 * 5);
        let long = "x".repeat(MAX_FRAME_BYTES);
        assert!(matches!(Frame::Message(long).write(&mut bytes).await, Err(FrameError::TooLong(_))));
    }

    #[tokio::test]
    async fn what_isnt_a_frame_is_refused() {
        assert!(matches!(read(&[0, 1, 0, 1, 1]).await, Err(FrameError::TooLong(65_537))));
        assert!(matches!(read(&[0, 0, 0, 0, 3]).await, Err(FrameError::Kind(3))));
        assert!(matches!(read(&[0, 0, 0, 1, 0, b'x']).await, Err(FrameError::Message(_))));
        for cut in [&[0, 0][..], &[0, 0, 0, 2, 1, 1]] {
            assert!(matches!(read(cut).await, Err(FrameError::Stream(_))), "{cut:?}");
        }
    }
}
