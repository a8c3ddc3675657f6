//! Apache Kafka in KRaft mode: one node, or three.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use crate::guard::Guard;
use crate::missing::Missing;
use crate::patience::until;
use crate::server::{Recipe, Server, try_again, write};
use crate::{ports, wire};

const NAME: &str = "Apache Kafka";
/// Within this nodes that run know each other.
const LIMIT: Duration = Duration::from_secs(60);
/// Any 16 bytes in URL-safe base64: clusters here never meet.
const CLUSTER: &str = "bWlsbHN0cmVhbS10ZXN0cw";

/// A private Kafka cluster. Nodes are counted from 0. Dropped, it ends and its folder is removed.
pub struct Kafka {
    nodes: Vec<Node>,
}

struct Node {
    server: Server,
    port: u16,
}

#[derive(Clone, Copy)]
struct Ports {
    clients: u16,
    controller: u16,
}

impl Kafka {
    /// Starts one node and waits until it answers. Internal topics have one replica; topics are made only on request.
    ///
    /// # Errors
    ///
    /// [`Missing`] without `MILLSTREAM_TEST_KAFKA` (the folder of the jars), or when it does not start.
    pub fn start() -> Result<Self, Missing> {
        Self::cluster(1)
    }

    /// Starts so many nodes, each broker and controller, and waits until each knows all. With three, internal topics have
    /// three replicas, two of which must be in step.
    ///
    /// # Errors
    ///
    /// As [`Kafka::start`].
    pub fn cluster(nodes: usize) -> Result<Self, Missing> {
        let jars = Missing::unless_told("MILLSTREAM_TEST_KAFKA")?;
        try_again(|| {
            let guard = Arc::new(Guard::new().map_err(|error| Missing::failed(NAME, &error))?);
            let ports: Vec<Ports> =
                (0..nodes).map(|_| Ports { clients: ports::free(), controller: ports::free() }).collect();
            format(&jars, guard.folder(), &ports)?;
            let mut nodes = Vec::with_capacity(nodes);
            for (number, port) in ports.iter().enumerate() {
                let recipe = recipe(&jars, guard.folder(), number, port.clients);
                let mut server = Server::new(recipe, guard.clone());
                server.launch()?;
                nodes.push(Node { server, port: port.clients });
            }
            nodes.iter_mut().try_for_each(|node| node.server.answers())?;
            let all = |node: &Node| wire::kafka_brokers(node.port).len() == nodes.len();
            if !until(LIMIT, || nodes.iter().all(all)) {
                return Err(Missing::failed(NAME, &"its nodes do not find each other"));
            }
            Ok(Self { nodes })
        })
    }

    /// The addresses of all nodes, running or not: `127.0.0.1:port[,…]`.
    pub fn brokers(&self) -> String {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect::<Vec<_>>().join(",")
    }

    /// Stops a node in order and waits for its end.
    pub fn stop(&mut self, node: usize) {
        self.nodes[node].server.stop();
    }

    /// Kills a node and waits for its end.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].server.kill();
    }

    /// Starts a node again at the same address with what it kept; returns when it answers.
    pub fn restart(&mut self, node: usize) {
        self.nodes[node].server.restart();
    }

    /// A node keeps its connections and does nothing.
    pub fn pause(&self, node: usize) {
        self.nodes[node].server.pause();
    }

    /// A paused node goes on.
    pub fn resume(&self, node: usize) {
        self.nodes[node].server.resume();
    }

    /// The process ids of the nodes that run.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(|node| node.server.pid()).collect()
    }
}

/// A program of Apache Kafka's own, by its class, such as its consumer on the console: a stock Java client.
///
/// # Errors
///
/// [`Missing::Untold`] without `MILLSTREAM_TEST_KAFKA`.
pub fn program(class: &str) -> Result<Command, Missing> {
    let mut command = java(&Missing::unless_told("MILLSTREAM_TEST_KAFKA")?);
    command.arg(class);
    Ok(command)
}

fn java(jars: &Path) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx384m", "-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"]);
    command.arg(jars.join("*"));
    command
}

fn recipe(jars: &Path, folder: &Path, node: usize, port: u16) -> Recipe {
    let (jars, settings) = (jars.to_owned(), folder.join(format!("{node}.properties")));
    let command = move || {
        let mut command = java(&jars);
        command.arg("kafka.Kafka").arg(&settings);
        command
    };
    // It knows itself when the controller has let it in; others may be away.
    let answers = Box::new(move || wire::kafka_brokers(port).contains(&port));
    let said = folder.join(format!("{node}.said"));
    Recipe { name: NAME, command: Box::new(command), answers, stop: Signal::TERM, said }
}

/// Writes the nodes' settings and makes their folders, all at once: each is a start of Java.
fn format(jars: &Path, folder: &Path, ports: &[Ports]) -> Result<(), Missing> {
    let failed = |error: std::io::Error| Missing::failed(NAME, &error);
    let mut running = Vec::new();
    for node in 0..ports.len() {
        let file = folder.join(format!("{node}.properties"));
        write(&file, &settings(folder, node, ports)).map_err(failed)?;
        let mut command = java(jars);
        command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]).arg(&file);
        running
            .push(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?);
    }
    for child in running {
        let output = child.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            return Err(Missing::failed(NAME, &String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(())
}

/// The settings of a node. A broker that is gone is missed after six seconds instead of nine, which is still long enough for
/// three nodes on two busy cores.
fn settings(folder: &Path, node: usize, ports: &[Ports]) -> String {
    let replicas = ports.len().min(3);
    let in_step = if replicas > 1 { 2 } else { 1 };
    let voters = ports.iter().enumerate().map(|(id, port)| format!("{id}@127.0.0.1:{}", port.controller));
    let lines = [
        "process.roles=broker,controller".to_owned(),
        format!("node.id={node}"),
        format!("controller.quorum.voters={}", voters.collect::<Vec<_>>().join(",")),
        format!(
            "listeners=CLIENTS://127.0.0.1:{},CONTROLLER://127.0.0.1:{}",
            ports[node].clients, ports[node].controller
        ),
        format!("advertised.listeners=CLIENTS://127.0.0.1:{}", ports[node].clients),
        "listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        "controller.listener.names=CONTROLLER".to_owned(),
        "inter.broker.listener.name=CLIENTS".to_owned(),
        format!("log.dirs={}", folder.join(format!("{node}.data")).display()),
        format!("default.replication.factor={replicas}"),
        format!("offsets.topic.replication.factor={replicas}"),
        format!("transaction.state.log.replication.factor={replicas}"),
        format!("share.coordinator.state.topic.replication.factor={replicas}"),
        format!("transaction.state.log.min.isr={in_step}"),
        format!("share.coordinator.state.topic.min.isr={in_step}"),
        format!("min.insync.replicas={in_step}"),
        "offsets.topic.num.partitions=6".to_owned(),
        "transaction.state.log.num.partitions=6".to_owned(),
        "group.initial.rebalance.delay.ms=0".to_owned(),
        "auto.create.topics.enable=false".to_owned(),
        "broker.session.timeout.ms=6000".to_owned(),
        "broker.heartbeat.interval.ms=1000".to_owned(),
    ];
    lines.join("\n")
}
