//! Faults of HTTP/2, frame by frame.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How a server of HTTP/2 fails, after it has read a request.
#[derive(Clone, Copy, Debug)]
pub enum Http2 {
    /// Another reason than `NO_ERROR` has debug data that repeats the request's body.
    GoAway(u32),
    ResetStream(u32),
    Closes,
    /// Says nothing any more, not even to pings.
    Hangs,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// Of SETTINGS.
const ACK: u8 = 1;
/// Of HEADERS and DATA.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One connection of HTTP/2: reads a request, begins to respond if it fails `within` the response, and fails.
pub async fn fail_http2(stream: impl AsyncRead + AsyncWrite + Unpin, fault: Http2, within: bool) {
    // The client may be gone before.
    let _ = serve(stream, fault, within).await;
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, fault: Http2, within: bool) -> std::io::Result<()> {
    stream.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let body = read_request(&mut stream).await?;
    if within {
        // `:status: 200`, of HPACK's static table.
        stream.write_all(&frame(HEADERS, END_HEADERS, 1, &[0x88])).await?;
        stream.write_all(&frame(DATA, 0, 1, b"{\"access_token\":\"abc")).await?;
        stream.flush().await?;
        // So that the response has begun for the client, too.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    match fault {
        Http2::ResetStream(reason) => stream.write_all(&frame(RST_STREAM, 0, 1, &reason.to_be_bytes())).await?,
        Http2::GoAway(reason) => {
            let mut payload = [u32::from(within).to_be_bytes(), reason.to_be_bytes()].concat();
            if reason != 0 {
                payload.extend_from_slice(&body);
            }
            stream.write_all(&frame(GOAWAY, 0, 0, &payload)).await?;
        }
        Http2::Closes | Http2::Hangs => {}
    }
    stream.flush().await?;
    if let Http2::ResetStream(_) | Http2::Hangs = fault {
        while stream.read(&mut [0; 1024]).await? > 0 {}
    }
    stream.shutdown().await
}

/// Reads frames up to the end of the first request, whose body it is.
async fn read_request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await?;
        match (head[3], head[4]) {
            (SETTINGS, 0) => stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
            (DATA, flags) => {
                body.extend_from_slice(&payload);
                if flags & END_STREAM != 0 {
                    return Ok(body);
                }
            }
            (HEADERS, flags) if flags & END_STREAM != 0 => return Ok(body),
            _ => {}
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
