//! Connections of the REST interface: how long one may hold still, and what ends it. How many there may be lives in
//! `places`, what is answered in `routes`.

use super::envelope::envelope;
use super::error::ApiError;
use super::places::{Bounds, Place, Places};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Request, Response};
use axum::middleware::from_fn;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::io::Errno;
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tower_service::Service;

/// How long the head of a request may take, the pause before it too: longer than load balancers keep connections
/// that nothing is asked on (60 s at the common ones), so that they end them and not we.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// The first one of a connection has to be there sooner: whoever opens one has something to ask.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection without a place of its own lives.
const SPARE_TIMEOUT: Duration = Duration::from_secs(1);

/// What is answered there.
const WITHOUT_A_PLACE: [&str; 2] = ["/healthz", "/readyz"];

/// Who takes nothing of an answer for so long is cut off.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait where the system gives no connection: those that end free some.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long a body that is on its way is waited for at the end.
const LAST_BODY_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Serves until `shutdown` is done and the requests under way are answered. A request whose head is not there by then is
/// dropped at once, and one whose body does not come a moment later. Answers are sent to their end, as far as they are read.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) {
    let places = Places::new(bounds);
    let open = GracefulShutdown::new();
    let refusing = Router::new().fallback(no_place).layer(from_fn(envelope));
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = &mut shutdown => break,
        };
        let Some((stream, address)) = accepted else {
            continue;
        };
        let asked = Asked {
            router: router.clone(),
            refusing: refusing.clone(),
            address,
            place: Arc::new(places.take(address.ip())),
            has_begun: Arc::default(),
        };
        let answering = asked.clone();
        let service = service_fn(move |request| answer(answering.clone(), request));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT);
        let stream = Socket {
            stream: TokioIo::new(stream),
            place: asked.place.clone(),
        };
        let connection = open.watch(http.serve_connection(stream, service));
        tokio::spawn(async move {
            // Whoever hung up or held still was told all that there was to say.
            tokio::select! {
                () = asked.place.closed() => {}
                () = live(connection, &asked) => {}
            }
        });
    }
    drop(listener);
    places.close_idle();
    let ended = open.shutdown();
    tokio::pin!(ended);
    if timeout(LAST_BODY_TIMEOUT, &mut ended).await.is_err() {
        places.close_sending();
        ended.await;
    }
}

/// The next connection. Where the system has none to give, another one ends for it.
async fn accept(listener: &TcpListener, places: &Places) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok((stream, address)) => {
            // Without them it works, only slower or for longer.
            let _ = stream.set_nodelay(true);
            let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_TIMEOUT));
            Some((stream, address))
        }
        Err(error) => {
            tracing::debug!(%error, "a connection of the REST interface was not accepted");
            let scarce = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
            if Errno::from_io_error(&error).is_some_and(|error| scarce.contains(&error)) {
                places.close_first_to_go();
            }
            tokio::time::sleep(AGAIN_AFTER).await;
            None
        }
    }
}

/// What the requests of one connection need.
#[derive(Clone)]
struct Asked {
    router: Router,
    /// In its place where there is no place.
    refusing: Router,
    address: SocketAddr,
    place: Arc<Place>,
    has_begun: Arc<AtomicBool>,
}

async fn live(connection: impl Future, asked: &Asked) {
    tokio::pin!(connection);
    if asked.place.is_spare() {
        let _ = timeout(SPARE_TIMEOUT, connection).await;
        return;
    }
    let first = timeout(FIRST_HEAD_TIMEOUT, &mut connection).await;
    if first.is_err() && asked.has_begun.load(Ordering::Relaxed) {
        connection.await;
    }
}

/// An error ends the connection without an answer.
async fn answer(
    asked: Asked,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::io::Error> {
    let place = asked.place;
    asked.has_begun.store(true, Ordering::Relaxed);
    if !place.begin(!request.body().is_end_stream()) {
        return Err(std::io::ErrorKind::ConnectionAborted.into());
    }
    let under_way = UnderWay(place.clone());
    let is_spare = place.is_spare();
    let answered = !is_spare || WITHOUT_A_PLACE.contains(&request.uri().path());
    let mut router = match answered {
        true => asked.router,
        false => asked.refusing,
    };
    let mut request = request.map(|body| Body::new(Coming { body, place }));
    request.extensions_mut().insert(ConnectInfo(asked.address));
    let Ok(mut response) = router.call(request).await;
    if is_spare {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response.map(|body| {
        Body::new(Going {
            body,
            _under_way: under_way,
        })
    }))
}

async fn no_place() -> ApiError {
    ApiError::unavailable(
        "connections_taken",
        "requests are under way on all connections that there may be ([http] connections_max, \
         connections_per_address_max); repeat this in a moment",
    )
}

/// A request, until its answer is made.
struct UnderWay(Arc<Place>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The body of a request.
struct Coming {
    body: Incoming,
    place: Arc<Place>,
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.place.body_has_come();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.place.body_has_come();
    }
}

/// The body of an answer.
struct Going {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Going {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection's stream, which tells its place when the system has taken what was written. The body of an answer has ended
/// before: what the peer has not read waits here, behind it.
struct Socket {
    stream: TokioIo<TcpStream>,
    place: Arc<Place>,
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    /// hyper asks for it once it has written all that it holds.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.place.all_is_sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[path = "serving_tests.rs"]
mod tests;
