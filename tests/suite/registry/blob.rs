//! Blobs over connections that break: a small fake registry that hangs up in the middle.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use smp_image::oci::{Digest, Reference};
use smp_image::registry::distribution::{Distribution, Limits};

/// How the fake registry answers the question for the rest.
#[derive(Clone, Copy, PartialEq)]
enum Rest {
    /// With the rest alone, as it should.
    Partial,
    /// With everything: it knows no ranges.
    Everything,
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect()
}

/// Serves the blob: the first answer breaks off in the middle, later ones are whole. Returns its address.
fn serve(rest: Rest) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (turn, stream) in listener.incoming().enumerate() {
            answer(stream.unwrap(), turn == 0, rest);
        }
    });
    address
}

fn answer(mut stream: TcpStream, breaks: bool, rest: Rest) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let from = head.split_once("range: bytes=").and_then(|(_, rest)| rest.split_once('-')?.0.parse().ok());
    let content = content();
    let (status, from) = match from {
        Some(from) if rest == Rest::Partial => ("206 Partial Content", from),
        _ => ("200 OK", 0_usize),
    };
    let body = &content[from..];
    let sent = if breaks { &body[..body.len() / 2] } else { body };
    let said = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(said.as_bytes()).unwrap();
    stream.write_all(sent).unwrap();
}

async fn read(rest: Rest) -> std::io::Result<Vec<u8>> {
    let reference: Reference = format!("{}/smp/image:1", serve(rest)).parse().unwrap();
    let runtime = tokio::runtime::Handle::current();
    let reading = tokio::task::spawn_blocking(move || {
        let door = Distribution::new(Limits::default(), None);
        let mut bytes = Vec::new();
        door.blob(&reference, Digest::of(content()), None, runtime).unwrap().read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    reading.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_whose_connection_breaks_goes_on_where_it_broke() {
    assert!(read(Rest::Partial).await.unwrap() == content());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_knows_no_ranges_sends_all_and_the_beginning_is_not_read_twice() {
    assert!(read(Rest::Everything).await.unwrap() == content());
}
