//! What a builder without an image store sends back: the image as an archive, piece by piece, with the engine that loads it at the
//! other end.

use std::io;
use std::sync::Arc;

use bollard_buildkit_proto::moby::filesync::v1::BytesMessage;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSend;
use bytes::Bytes;
use tokio::sync::mpsc::Sender;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::session::Session;

/// Where the pieces of an archive go. An error among them breaks the archive off, so that half of one is never taken for a whole.
pub(in crate::engine) type Pieces = Sender<io::Result<Bytes>>;

/// Takes one archive.
pub(super) struct Receiver(pub(super) Arc<Session>);

#[async_trait]
impl FileSend for Receiver {
    type DiffCopyStream = ReceiverStream<Result<BytesMessage, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let pieces =
            self.0.take_pieces().ok_or_else(|| Status::failed_precondition("no archive was asked for"))?;
        let (answer, stream) = tokio::sync::mpsc::channel(1);
        let mut incoming = request.into_inner();
        // BuildKit waits for our answer to begin before it sends, and for it to end before it is done.
        tokio::spawn(async move {
            loop {
                let piece = match incoming.message().await {
                    Ok(Some(message)) => Ok(Bytes::from(message.data)),
                    Ok(None) => break,
                    Err(status) => Err(io::Error::other(status.message().to_owned())),
                };
                let broken = piece.is_err();
                if pieces.send(piece).await.is_err() || broken {
                    let _nobody = answer.send(Err(Status::aborted("the archive is not taken"))).await;
                    break;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
