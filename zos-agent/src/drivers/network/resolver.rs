// SPDX-License-Identifier: Apache-2.0
//! The name server of private networks: a process of its own, which outlives the agent, with a socket in each
//! namespace. A look-up hangs for tens of seconds while no server answers.

use super::{
    namespace::{path, within},
    table::{FILE, Found, Table},
};
use crate::{
    drivers::name_servers::{self, PORT},
    store::Store,
};
use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use clap::Args;
use hickory_server::{
    Server,
    net::{runtime::Time, xfer::Protocol},
    proto::{
        op::{Message, Metadata, ResponseCode},
        rr::{Name, RData, Record, RecordType, rdata::A},
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

/// How often the names are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Limit for the answer of another name server, after which the next one is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Time after which an idle connection is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Responses of one connection that wait to be sent.
const RESPONSES: usize = 32;
/// Limit of questions of one network that other name servers are asked at the same time.
const MAX_ASKED: usize = 64;

/// Options of the resolver.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// Folder in which the agent keeps the names
    #[arg(long, value_name = "DIR")]
    pub names: PathBuf,
}

/// Answers machines of private networks, for ever.
///
/// # Errors
/// If the folder can't be opened.
pub async fn resolve(args: ResolveArgs) -> Result<()> {
    let store = Store::open(&args.names)?;
    let names = watch::Sender::new(Arc::new(Table::default()));
    let (mut seen, mut servers) = (None, BTreeMap::new());
    loop {
        let version = fs::metadata(args.names.join(FILE)).map(|file| (file.ino(), file.mtime_nsec())).ok();
        if version != seen && read_names(&store, &names) {
            seen = version;
        }
        let table = names.borrow().clone();
        let wanted: Vec<_> = table.networks.iter().filter_map(|net| served(&net.namespace)).collect();
        servers.retain(|namespace, _| wanted.contains(namespace));
        for namespace in wanted {
            if servers.contains_key(&namespace) {
                continue;
            }
            match serve(&namespace.name, names.subscribe()) {
                Ok(server) => drop(servers.insert(namespace, server)),
                Err(error) => warn!(namespace = namespace.name, "no names there, trying again: {error:#}"),
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Whether the names could be read. Otherwise, such as without a free descriptor, those that were read before stay.
fn read_names(store: &Store, names: &watch::Sender<Arc<Table>>) -> bool {
    let read = store.read::<Table>(FILE);
    if let Err(error) = &read {
        warn!("can't read the names, trying again: {error:#}");
    }
    read.map(|table| names.send_replace(Arc::new(table.unwrap_or_default()))).is_ok()
}

/// A namespace with the number of its file: another one may get its name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Served {
    name: String,
    file: u64,
}

fn served(name: &str) -> Option<Served> {
    let file = fs::metadata(path(name)).ok()?.ino();
    Some(Served { name: name.to_owned(), file })
}

/// A server in this namespace, until it is dropped.
fn serve(namespace: &str, names: watch::Receiver<Arc<Table>>) -> Result<Server<Handler>> {
    let bind = || {
        let sockets = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
        sockets.set_nonblocking(true)?;
        listener.set_nonblocking(true)?;
        Ok((sockets, listener))
    };
    let (socket, listener) = within(&path(namespace), bind).context("can't listen")?;
    let asks = Semaphore::new(MAX_ASKED);
    let mut server = Server::new(Handler { namespace: namespace.to_owned(), names, asks });
    server.register_socket(UdpSocket::from_std(socket)?);
    server.register_listener(TcpListener::from_std(listener)?, IDLE, RESPONSES);
    info!(namespace, "answering");
    Ok(server)
}

struct Handler {
    namespace: String,
    names: watch::Receiver<Arc<Table>>,
    asks: Semaphore,
}

/// An answer to be sent.
enum Answer {
    Records(Vec<Record>),
    Code(ResponseCode),
    /// That of another name server.
    Theirs(Box<Message>),
}

impl Handler {
    async fn answer(&self, request: &Request) -> Answer {
        let Ok(info) = request.request_info() else { return Answer::Code(ResponseCode::FormErr) };
        let table = self.names.borrow().clone();
        let (query, name) = (info.query, info.query.name().to_string());
        match table.find(&self.namespace, info.src.ip(), name.trim_end_matches('.')) {
            Found::Machines(addresses) if query.query_type() == RecordType::A => {
                let name: Name = query.name().into();
                let record = |ip| Record::from_rdata(name.clone(), 0, RData::A(A(ip)));
                Answer::Records(addresses.into_iter().map(record).collect())
            }
            Found::Machines(_) => Answer::Records(Vec::new()),
            Found::Nothing => Answer::Code(ResponseCode::NXDomain),
            Found::Refused => Answer::Code(ResponseCode::Refused),
            Found::NotYet => Answer::Code(ResponseCode::ServFail),
            Found::Elsewhere => self.ask_others(request, &table.name_servers).await,
        }
    }

    async fn ask_others(&self, request: &Request, servers: &[IpAddr]) -> Answer {
        let Ok(_permit) = self.asks.try_acquire() else { return Answer::Code(ResponseCode::ServFail) };
        for server in servers {
            let to = SocketAddr::new(*server, PORT);
            let asked = timeout(ANSWER_WITHIN, ask(to, request)).await;
            match asked.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
                Ok(message) => return Answer::Theirs(Box::new(message)),
                Err(error) => debug!(%server, "a name server fails: {error:#}"),
            }
        }
        Answer::Code(ResponseCode::ServFail)
    }
}

/// Asks another name server in the way in which the machine has asked.
async fn ask(server: SocketAddr, request: &Request) -> Result<Message> {
    let question = request.as_slice();
    let answer = if request.protocol() == Protocol::Udp {
        name_servers::ask(server, question).await?
    } else {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(question.len())?;
        stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
        let mut answer = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut answer).await?;
        answer
    };
    let message = Message::from_vec(&answer)?;
    ensure!(message.metadata.id == request.metadata.id, "the answer is to another question");
    Ok(message)
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let mut builder = MessageResponseBuilder::from_message_request(request);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        (metadata.authoritative, metadata.recursion_available) = (true, true);
        let answer = self.answer(request).await;
        let sent = match &answer {
            Answer::Records(records) => {
                response.send_response(builder.build(metadata, records, [], [], [])).await
            }
            Answer::Code(code) => {
                metadata.response_code = *code;
                response.send_response(builder.build_no_records(metadata)).await
            }
            Answer::Theirs(message) => {
                if let Some(edns) = &message.edns {
                    builder.edns(edns);
                }
                let Message { metadata, answers, authorities, additionals, .. } = &**message;
                response.send_response(builder.build(*metadata, answers, authorities, [], additionals)).await
            }
        };
        sent.unwrap_or_else(|error| {
            debug!("can't answer: {error}");
            metadata.response_code = ResponseCode::ServFail;
            hickory_server::proto::op::Header { metadata, counts: Default::default() }.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn names_that_cannot_be_read_are_read_again() {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let names = watch::Sender::new(Arc::new(Table::default()));
        let table = |server: [u8; 4]| Table { name_servers: vec![server.into()], networks: Vec::new() };
        store.write(FILE, &table([1; 4])).unwrap();
        assert!(read_names(&store, &names));

        fs::remove_file(folder.path().join(FILE)).unwrap();
        fs::create_dir(folder.path().join(FILE)).unwrap();
        assert!(!read_names(&store, &names));
        assert_eq!(**names.borrow(), table([1; 4]));

        fs::remove_dir(folder.path().join(FILE)).unwrap();
        store.write(FILE, &table([2; 4])).unwrap();
        assert!(read_names(&store, &names));
        assert_eq!(**names.borrow(), table([2; 4]));
    }
}
