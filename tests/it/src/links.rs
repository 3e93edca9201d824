//! The links between validators, each through a gate of its own that a test can close: so a network is
//! cut in two on one machine, and healed.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A link's two ends, by the places of validators: from, to.
type Ends = (usize, usize);

/// All links between some validators.
#[derive(Debug)]
pub struct Links {
    open: BTreeMap<Ends, watch::Sender<bool>>,
}

impl Links {
    /// Puts a gate on every link between validators, given by organisation, configuration file and
    /// address. Their configuration files are changed, so they have to be started after this.
    ///
    /// # Panics
    /// When a file cannot be changed.
    pub async fn between(validators: &[(&str, &Path, SocketAddr)]) -> Self {
        let mut open = BTreeMap::new();
        for (from, (_, config, _)) in validators.iter().enumerate() {
            let mut overrides = String::from("\n[validators]\n");
            for (to, (org, _, address)) in validators.iter().enumerate() {
                if from == to {
                    continue;
                }
                let gate = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                let port = gate.local_addr().expect("it is bound").port();
                overrides.push_str(&format!("{org} = \"https://127.0.0.1:{port}\"\n"));
                let (tell, told) = watch::channel(true);
                open.insert((from, to), tell);
                tokio::spawn(keep(gate, *address, told));
            }
            let text = fs::read_to_string(config).expect("a configuration");
            fs::write(config, text + overrides.as_str()).expect("it can be changed");
        }
        Self { open }
    }

    /// Cuts the network in two: what is on one side cannot reach the other.
    pub fn cut(&self, side: &[usize]) {
        for ((from, to), open) in &self.open {
            open.send_replace(side.contains(from) == side.contains(to));
        }
    }

    /// Heals it.
    pub fn heal(&self) {
        for open in self.open.values() {
            open.send_replace(true);
        }
    }
}

/// Passes connections on while the gate is open; breaks them, and takes none, while it is closed.
async fn keep(gate: TcpListener, to: SocketAddr, open: watch::Receiver<bool>) {
    while let Ok((mut near, _)) = gate.accept().await {
        let mut open = open.clone();
        tokio::spawn(async move {
            if !*open.borrow() {
                return;
            }
            let Ok(mut far) = TcpStream::connect(to).await else {
                return;
            };
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = open.wait_for(|open| !open) => {}
            }
        });
    }
}
