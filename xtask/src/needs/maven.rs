//! Jars of Java, with Maven.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use super::debian;
use super::fetch::{quiet, whole};

const KAFKA: &str = "4.2.0";

/// A folder of jars with which `java -cp 'FOLDER/*' kafka.Kafka FILE` runs a broker: some 54 MB.
pub(super) fn kafka(folder: &Path) -> anyhow::Result<PathBuf> {
    let mvn = debian::program("mvn", &["maven"])?;
    debian::program("java", &["default-jre-headless"])?;
    let home = folder.join(format!("kafka-{KAFKA}"));
    whole(&home, |partial| {
        #[expect(clippy::disallowed_methods, reason = "test data of the workshop; no data of the product is touched")]
        std::fs::write(partial.join("pom.xml"), pom())?;
        let options = ["--quiet", "--batch-mode", "dependency:copy-dependencies", "-DoutputDirectory=lib"];
        quiet(Command::new(mvn).args(options).current_dir(partial))
    })?;
    let broker = home.join("lib").join(format!("kafka_2.13-{KAFKA}.jar"));
    ensure!(broker.exists(), "Maven left no kafka_2.13-{KAFKA}.jar");
    Ok(home.join("lib"))
}

fn pom() -> String {
    let dependencies = [
        ("org.apache.kafka", "kafka_2.13", KAFKA),
        ("org.apache.kafka", "kafka-tools", KAFKA),
        ("org.slf4j", "slf4j-simple", "1.7.36"),
    ];
    let dependency = |(group, artifact, version): (&str, &str, &str)| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>\n"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\n\
         <groupId>test</groupId><artifactId>kafka</artifactId><version>1</version>\n\
         <dependencies>\n{}</dependencies></project>\n",
        dependencies.map(dependency).concat()
    )
}
