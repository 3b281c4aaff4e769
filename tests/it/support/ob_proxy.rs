//! Plays OBProxy in front of a simulated cluster, as far as a login goes: it takes `user@tenant#cluster` of its own clusters,
//! sends the observer the name without `#cluster`, and is nobody's `host_ip()`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use obsteward::sim::SimCluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// See the module's head. Serves until it is dropped.
pub struct ObProxy {
    pub address: SocketAddr,
    logins: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Drop for ObProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl ObProxy {
    /// Before one server of each of these clusters; a name without a cluster is for the first, as with a real one.
    pub async fn before(clusters: &[(&SimCluster, i64)]) -> Self {
        let of = |(sim, id): &(&SimCluster, i64)| {
            (sim.look(|cluster| cluster.name.clone()), sim.server(*id).unwrap().endpoint())
        };
        let clusters: Arc<Vec<(String, String)>> = Arc::new(clusters.iter().map(of).collect());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let logins = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&logins);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (clusters, heard) = (Arc::clone(&clusters), Arc::clone(&heard));
                // An end of either side ends the session.
                tokio::spawn(async move { serve(client, &clusters, &heard).await.unwrap_or_default() });
            }
        });
        Self { address, logins, serving }
    }

    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// The names that clients logged in with.
    pub fn logins(&self) -> Vec<String> {
        self.logins.lock().unwrap().clone()
    }
}

async fn serve(
    mut client: TcpStream,
    clusters: &[(String, String)],
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    // The greeting of one observer is as good as another's, but its nonce is part of the password's proof: the cluster is
    // chosen by the name, so the client gets a nonce of the first and logs in anew at the others with an empty password.
    let mut server = TcpStream::connect(&clusters[0].1).await?;
    let greeting = packet(&mut server).await?;
    client.write_all(&greeting).await?;
    let login = packet(&mut client).await?;
    // 4 of the packet's head, then 32 before the name.
    let end = 36 + login[36..].iter().position(|byte| *byte == 0).unwrap();
    let name = String::from_utf8_lossy(&login[36..end]).into_owned();
    heard.lock().unwrap().push(name.clone());
    let (user, cluster) = name.split_once('#').map_or((name.as_str(), None), |(user, cluster)| (user, Some(cluster)));
    let wanted = cluster.unwrap_or(&clusters[0].0);
    let Some((_, observer)) = clusters.iter().find(|(name, _)| name == wanted) else {
        let mut refusal = vec![0xff];
        refusal.extend_from_slice(&4669_u16.to_le_bytes());
        refusal.extend_from_slice(b"#HY000cluster not exist");
        return client.write_all(&framed(&refusal, login[3] + 1)).await;
    };
    if *observer != clusters[0].1 {
        server = TcpStream::connect(observer).await?;
        packet(&mut server).await?;
    }
    let mut body = login[4..36].to_vec();
    body.extend_from_slice(user.as_bytes());
    body.extend_from_slice(&login[end..]);
    server.write_all(&framed(&body, login[3])).await?;
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

/// One packet with its head.
async fn packet(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet).await?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
    packet.resize(4 + length, 0);
    from.read_exact(&mut packet[4..]).await?;
    Ok(packet)
}

fn framed(body: &[u8], sequence: u8) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&length[..3], &[sequence], body].concat()
}
