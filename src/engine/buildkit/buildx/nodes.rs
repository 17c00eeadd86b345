//! What buildx says of its builders and their machines, and on which of them it builds.

use serde::Deserialize;

use crate::engine::buildkit::each_once;
use crate::oci::Platform;

/// A builder that buildx knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildxBuilder {
    /// Its name.
    pub name: String,
    /// What kind it is: `docker`, `docker-container`, `kubernetes`, `remote`.
    pub driver: String,
    /// Its machines, in buildx's order; none where buildx cannot ask it.
    pub nodes: Vec<BuildxNode>,
}

/// One machine of a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildxNode {
    /// Where it is.
    pub endpoint: String,
    /// Whether it runs: `running`, `inactive`, …
    pub status: String,
    /// The platforms that it runs, its own first; empty where it does not run yet.
    pub platforms: Vec<Platform>,
    /// Those of them that a person gave it (`docker buildx create --platform`).
    pub given: Vec<Platform>,
}

impl BuildxBuilder {
    /// Returns the platforms of the node on which buildx builds for `target`: the first that it was given to, else the first that says it
    /// runs it, else the first.
    pub fn platforms_for(&self, target: Platform) -> &[Platform] {
        let first =
            |has: fn(&BuildxNode) -> &[Platform]| self.nodes.iter().find(|node| has(node).contains(&target));
        let node = first(|node| &node.given).or_else(|| first(|node| &node.platforms)).or(self.nodes.first());
        node.map_or(&[], |node| &node.platforms)
    }
}

/// One line of `buildx ls --format json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    name: String,
    #[serde(default)]
    driver: String,
    #[serde(default)]
    nodes: Vec<Node>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(default)]
    endpoint: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    platforms: Vec<String>,
}

impl From<Listed> for BuildxBuilder {
    fn from(listed: Listed) -> Self {
        let nodes = listed.nodes.into_iter().map(BuildxNode::from).collect();
        Self { name: listed.name, driver: listed.driver, nodes }
    }
}

impl From<Node> for BuildxNode {
    fn from(node: Node) -> Self {
        // `linux/amd64/v3` and the like are the same platform to us; an asterisk marks one that was given.
        let given = node.platforms.iter().filter_map(|name| name.strip_suffix('*'));
        let given = each_once(given.map(str::to_owned));
        let platforms = node.platforms.iter().map(|name| name.trim_end_matches('*').to_owned());
        let platforms = each_once(platforms);
        Self { endpoint: node.endpoint, status: node.status, platforms, given }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Arch;

    fn listed(nodes: &str) -> BuildxBuilder {
        let line = format!(r#"{{"Name":"far","Driver":"remote","Nodes":[{nodes}]}}"#);
        BuildxBuilder::from(serde_json::from_str::<Listed>(&line).unwrap())
    }

    #[test]
    fn a_builder_is_read_with_its_own_platform_first() {
        let builder = listed(
            r#"{"Name":"far0","Endpoint":"tcp://h:1","Status":"running","Platforms":["linux/arm64*","linux/amd64","linux/amd64/v2","linux/386"]}"#,
        );
        let shown: Vec<String> = builder.nodes[0].platforms.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["linux/arm64", "linux/amd64"]);
        assert_eq!((builder.driver.as_str(), builder.nodes[0].endpoint.as_str()), ("remote", "tcp://h:1"));
    }

    #[test]
    fn of_several_nodes_the_one_counts_on_which_buildx_builds() {
        let [amd64, arm64] = [Arch::Amd64, Arch::Arm64].map(|arch| Platform { arch });
        let emulating = r#"{"Name":"a","Platforms":["linux/amd64","linux/arm64"]}"#;
        let own = r#"{"Name":"b","Platforms":["linux/arm64"]}"#;
        let given = r#"{"Name":"b","Platforms":["linux/arm64*"]}"#;
        let stopped = r#"{"Name":"c","Status":"inactive"}"#;
        // buildx takes the first that says it, though it emulates, unless another one was given the platform.
        assert_eq!(listed(&format!("{emulating},{own}")).platforms_for(arm64), [amd64, arm64]);
        assert_eq!(listed(&format!("{emulating},{given}")).platforms_for(arm64), [arm64]);
        assert_eq!(listed(&format!("{given},{emulating}")).platforms_for(amd64), [amd64, arm64]);
        assert_eq!(listed(&format!("{stopped},{own}")).platforms_for(arm64), [arm64]);
        assert_eq!(listed(own).platforms_for(amd64), [arm64]);
        assert_eq!(listed("").platforms_for(amd64), []);
    }
}
