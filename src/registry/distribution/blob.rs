//! A blob as a stream: read from a thread of its own, and continued where the connection broke.

use std::io::{self, Read};

use bytes::Bytes;
use reqwest::{Method, Response, StatusCode};
use tokio::runtime::Handle;

use super::transport::Request;
use super::{Distribution, RegistryError};
use crate::engine::Login;
use crate::oci::{Digest, Reference};

/// How often one blob is continued before its fault is told.
const RESUMED: u32 = 5;

/// Reads a blob; for threads that may wait.
#[derive(Debug)]
pub struct BlobReader<'a> {
    door: &'a Distribution,
    reference: &'a Reference,
    login: Option<&'a Login>,
    digest: Digest,
    runtime: Handle,
    response: Option<Response>,
    chunk: Bytes,
    read: u64,
    resumed: u32,
}

impl Distribution {
    /// Opens the blob `digest` of the repository of `reference`; waits on `runtime`, so not for its own threads.
    pub fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        digest: Digest,
        login: Option<&'a Login>,
        runtime: Handle,
    ) -> Result<BlobReader<'a>, RegistryError> {
        let mut reader = BlobReader {
            door: self,
            reference,
            login,
            digest,
            runtime,
            response: None,
            chunk: Bytes::new(),
            read: 0,
            resumed: 0,
        };
        reader.response = Some(reader.ask()?);
        Ok(reader)
    }
}

impl BlobReader<'_> {
    /// Asks for what was not read yet.
    fn ask(&self) -> Result<Response, RegistryError> {
        let request = Request {
            method: Method::GET,
            path: format!("blobs/{}", self.digest),
            accept: "*/*",
            at_most: 0,
            doing: "for a layer of the image",
        };
        self.runtime.block_on(self.door.transport.open(&request, self.reference, self.login, self.read))
    }

    /// Asks again from where the connection broke; a registry that knows no ranges sends all, of which the beginning is skipped.
    fn resume(&mut self, broken: &reqwest::Error) -> io::Result<()> {
        self.resumed += 1;
        if self.resumed > RESUMED {
            return Err(io::Error::other(format!("the connection broke {RESUMED} times: {broken}")));
        }
        let mut response = self.ask().map_err(io::Error::other)?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            let mut skipped = 0;
            while skipped < self.read {
                let Some(chunk) = self.runtime.block_on(response.chunk()).map_err(io::Error::other)? else {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                };
                let over =
                    usize::try_from(self.read - skipped).map_or(chunk.len(), |left| left.min(chunk.len()));
                skipped += over as u64;
                self.chunk = chunk.slice(over..);
            }
        }
        self.response = Some(response);
        Ok(())
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let Some(response) = &mut self.response else { return Ok(0) };
            match self.runtime.block_on(response.chunk()) {
                Ok(Some(chunk)) => self.chunk = chunk,
                Ok(None) => self.response = None,
                Err(error) => self.resume(&error)?,
            }
        }
        let length = self.chunk.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.chunk.split_to(length));
        self.read += length as u64;
        Ok(length)
    }
}
