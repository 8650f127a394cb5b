// SPDX-License-Identifier: Apache-2.0
//! Streams on which nothing passes any more.

use std::{
    io,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep_until},
};

/// When something passed last, in either direction.
pub struct Passed(Mutex<Instant>);

impl Passed {
    /// Nothing has passed yet: it counts from now.
    pub fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Something passes now.
    pub fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Resolves once nothing has passed for so long.
    pub async fn nothing_for(&self, limit: Duration) {
        loop {
            let end = *self.0.lock().unwrap_or_else(PoisonError::into_inner) + limit;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }
}

/// A stream of which each byte counts as something that passes.
pub struct Noted<'a, S> {
    pub stream: &'a mut S,
    pub passed: &'a Passed,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut *self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.passed.note();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream).poll_write(context, bytes);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.passed.note();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::timeout,
    };

    const LIMIT: Duration = Duration::from_secs(20);
    const LONG: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn bytes_of_either_direction_count() {
        let (mut stream, mut other) = duplex(64);
        other.write_all(b"in").await.unwrap();
        let an_hour_ago = Instant::now().checked_sub(LONG).unwrap();
        let passed = Passed(Mutex::new(an_hour_ago));
        let has_passed = || std::mem::replace(&mut *passed.0.lock().unwrap(), an_hour_ago) != an_hour_ago;
        let mut noted = Noted { stream: &mut stream, passed: &passed };
        noted.flush().await.unwrap();
        assert!(!has_passed());
        noted.write_all(b"out").await.unwrap();
        assert!(has_passed());
        noted.read_exact(&mut [0; 2]).await.unwrap();
        assert!(has_passed());
    }

    #[tokio::test]
    async fn a_stream_is_idle_after_its_limit_and_not_before() {
        let passed = Passed(Mutex::new(Instant::now().checked_sub(LONG).unwrap()));
        timeout(LIMIT, passed.nothing_for(LONG)).await.unwrap();
        passed.note();
        let short = Duration::from_millis(20);
        assert!(timeout(short, passed.nothing_for(LONG)).await.is_err());
        timeout(LIMIT, passed.nothing_for(short)).await.unwrap();
    }
}
