//! A connection to one of several servers, any of which answers: calls go to one of them until it cannot be reached, then to the
//! next. Nothing is sent twice: a server is changed before a call, never in the middle of one.

use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tokio::sync::Mutex;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint, Error};
use tower::Service;

/// Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct AnyServer(Choice);

#[derive(Clone, Debug)]
enum Choice {
    /// The only one, which is connected at the first call and again after a loss.
    One(Channel),
    Several(Arc<Several>),
}

#[derive(Debug)]
struct Several {
    endpoints: Vec<Endpoint>,
    /// The one that is tried first, with the connection to it.
    current: Mutex<(usize, Option<Channel>)>,
    /// Where the last connection went, for people.
    connected: RwLock<Option<String>>,
}

impl AnyServer {
    pub fn new(mut endpoints: Vec<Endpoint>) -> Self {
        match (endpoints.len(), endpoints.pop()) {
            (1, Some(endpoint)) => Self::from(endpoint.connect_lazy()),
            (_, last) => {
                endpoints.extend(last);
                let (current, connected) = Default::default();
                Self(Choice::Several(Arc::new(Several { endpoints, current, connected })))
            }
        }
    }

    /// The server that answers; `None`: there is only one, or none has answered yet.
    pub fn connected(&self) -> Option<String> {
        match &self.0 {
            Choice::One(_) => None,
            Choice::Several(several) => several.connected.read().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl From<Channel> for AnyServer {
    fn from(channel: Channel) -> Self {
        Self(Choice::One(channel))
    }
}

impl Several {
    /// A connection to the first server that takes one, beginning with the current.
    async fn connection(&self) -> Result<(usize, Channel), Error> {
        let mut current = self.current.lock().await;
        if let (index, Some(channel)) = &*current {
            return Ok((*index, channel.clone()));
        }
        let (count, first) = (self.endpoints.len(), current.0);
        let mut tried = 0;
        loop {
            let index = (first + tried) % count;
            match self.endpoints[index].connect().await {
                Ok(channel) => {
                    *current = (index, Some(channel.clone()));
                    let url = self.endpoints[index].uri().to_string();
                    *self.connected.write().unwrap_or_else(PoisonError::into_inner) = Some(url);
                    return Ok((index, channel));
                }
                Err(error) if tried + 1 >= count => return Err(error),
                Err(_) => tried += 1,
            }
        }
    }

    /// The next call goes to another server, unless one has changed that already.
    async fn lost(&self, index: usize) {
        let mut current = self.current.lock().await;
        if current.0 == index {
            *current = ((index + 1) % self.endpoints.len(), None);
        }
    }
}

impl Service<Request<Body>> for AnyServer {
    type Response = Response<Body>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response<Body>, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &mut self.0 {
            Choice::One(channel) => channel.poll_ready(context),
            Choice::Several(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match &mut self.0 {
            Choice::One(channel) => Box::pin(channel.call(request)),
            Choice::Several(several) => {
                let several = Arc::clone(several);
                Box::pin(async move {
                    let (index, mut channel) = several.connection().await?;
                    let called = async {
                        std::future::poll_fn(|context| channel.poll_ready(context)).await?;
                        channel.call(request).await
                    };
                    match called.await {
                        // A server that ends refuses new calls before it closes its connections.
                        Ok(response) if is_unavailable(&response) => {
                            several.lost(index).await;
                            Ok(response)
                        }
                        Ok(response) => Ok(response),
                        Err(error) => {
                            several.lost(index).await;
                            Err(error)
                        }
                    }
                })
            }
        }
    }
}

fn is_unavailable(response: &Response<Body>) -> bool {
    let code = i32::from(tonic::Code::Unavailable).to_string();
    response.headers().get("grpc-status").is_some_and(|status| status.as_bytes() == code.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proto::v1;
    use crate::proto::v1::task_service_client::TaskServiceClient;

    /// A server that knows none of our calls; it ends, with its connections, when its runtime does.
    fn server() -> (String, tokio::runtime::Runtime) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        runtime.spawn(async move {
            let incoming = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(incoming);
            let (_, health) = tonic_health::server::health_reporter();
            tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming).await.unwrap();
        });
        (url, runtime)
    }

    #[tokio::test]
    async fn a_call_goes_to_whichever_server_is_there() {
        let (first, second) = (server(), server());
        let endpoint =
            |url: &str| Endpoint::from_shared(url.to_owned()).unwrap().connect_timeout(Duration::from_secs(1));
        let any = AnyServer::new(["http://127.0.0.1:1", &first.0, &second.0].map(endpoint).into());
        let ask = async || {
            let mut client = TaskServiceClient::new(any.clone());
            client.get_task(v1::GetTaskRequest { task_id: 1 }).await.unwrap_err().code()
        };
        assert_eq!((ask().await, any.connected()), (tonic::Code::Unimplemented, Some(first.0)));
        first.1.shutdown_background();
        // The call under which a connection breaks ends as it does; the next one goes elsewhere.
        let answers = [ask().await, ask().await];
        assert_eq!((answers[1], any.connected()), (tonic::Code::Unimplemented, Some(second.0)));
        second.1.shutdown_background();
    }
}
