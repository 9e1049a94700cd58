//! What a person needs who follows `docs/install.md` on this cluster: the images under the names that
//! `manifests/` ask for, and a `PATH` with kubectl and its plugin. Installs nothing in the cluster.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::{Cluster, IMAGE, clickhouse_image};
use crate::process::qoe_binary;

/// As `manifests/cluster` names our image, and as the operator names a server's by itself.
const OUR_NAME: &str = concat!("qoeplane/qoe:", env!("CARGO_PKG_VERSION"));
const SERVER_NAME: &str = "clickhouse/clickhouse-server:26.7";

impl Cluster {
    /// Gives the node's images the names that users know. A name of the internet stands for a local image
    /// from then on, so that nothing is pulled.
    pub fn name_images_as_users_do(&self) -> Result<(), String> {
        self.tag_image(IMAGE, OUR_NAME)?;
        self.tag_image(&clickhouse_image(), SERVER_NAME)
    }

    /// Directories with `kubectl`, `qoe` and `kubectl-qoe`, for the beginning of `PATH`.
    pub fn programs_of_a_person(&self) -> Result<[PathBuf; 2], String> {
        let programs = self.directory.join("bin");
        std::fs::create_dir_all(&programs)
            .map_err(|error| format!("cannot make {}: {error}", programs.display()))?;
        let qoe = qoe_binary().canonicalize().map_err(|error| format!("no program: {error}"))?;
        for name in ["qoe", "kubectl-qoe"] {
            symlink(&qoe, programs.join(name)).map_err(|error| format!("cannot link {name}: {error}"))?;
        }
        Ok([programs, self.binaries.clone()])
    }
}
