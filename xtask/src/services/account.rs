//! Whom PostgreSQL runs as: it refuses root.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::unistd::{User, geteuid};

/// Made when root has PostgreSQL without the account that its package brings.
const OWN_USER: &str = "oms-postgres";

/// Another account than the one this tool runs as.
#[derive(Debug, Clone)]
pub struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account for PostgreSQL: `None` is the own one, which will do unless it is root.
    pub fn for_postgres() -> Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        for name in ["postgres", OWN_USER] {
            if let Some(account) = Self::named(name)? {
                return Ok(Some(account));
            }
        }
        eprintln!("PostgreSQL refuses to run as root: creating the system user {OWN_USER}");
        let made =
            Command::new("useradd").args(["--system", "--no-create-home", "--shell", "/bin/false", OWN_USER]).status();
        match (made, Self::named(OWN_USER)?) {
            (Ok(status), Some(account)) if status.success() => Ok(Some(account)),
            _ => bail!("could not create the user {OWN_USER}; create it, or run this as another user than root"),
        }
    }

    fn named(name: &str) -> Result<Option<Self>> {
        let user = User::from_name(name).with_context(|| format!("cannot look up the user {name}"))?;
        Ok(user.map(|user| Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
    }

    /// Whether this account can write in a folder, that is, also pass through every folder above it.
    fn can_write(&self, folder: &Path) -> bool {
        command(Some(self), "/bin/sh")
            .args([OsStr::new("-c"), OsStr::new("cd \"$1\" && test -w ."), OsStr::new("sh"), folder.as_os_str()])
            .current_dir("/")
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// A command that runs as `account`, without the rights of root's groups (std drops them together with the user).
pub(super) fn command(account: Option<&Account>, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    // An inherited locale that this machine does not have would stop the services.
    command.env("LC_ALL", "C");
    command
}

/// Creates a folder that only `account` can enter, or fails when it can't reach it.
pub(crate) fn create_folder(folder: &Path, account: Option<&Account>) -> Result<()> {
    if let Ok(found) = fs::symlink_metadata(folder) {
        // Somebody else may have put it, or a link, into a folder that everybody can write in.
        if !found.is_dir() {
            bail!("{} is not a folder; remove it, then run this again", folder.display());
        }
        if found.uid() != account.map_or_else(|| geteuid().as_raw(), |account| account.uid) {
            bail!("{} belongs to another user; remove it, then run this again", folder.display());
        }
    } else {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        DirBuilder::new().mode(0o700).create(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        give(folder, account)?;
    }
    match account {
        Some(account) if !account.can_write(folder) => {
            bail!("the user {} cannot write in {}; remove it or give it to that user", account.name, folder.display())
        }
        _ => Ok(()),
    }
}

/// Makes `account` the owner of a file or folder that this process made.
pub(super) fn give(path: &Path, account: Option<&Account>) -> Result<()> {
    let Some(account) = account else {
        return Ok(());
    };
    chown(path, Some(account.uid), Some(account.gid))
        .with_context(|| format!("cannot give {} to the user {}", path.display(), account.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_no_folder_of_ours() {
        let place = std::env::temp_dir().join(format!("oms-link-{}", std::process::id()));
        let (folder, link) = (place.join("folder"), place.join("link"));
        create_folder(&folder, None).unwrap();
        create_folder(&folder, None).unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let refused = create_folder(&link, None).unwrap_err().to_string();
        fs::remove_dir_all(&place).unwrap();
        assert!(refused.contains("is not a folder"), "{refused}");
    }
}
