//! Users and roles that a service is configured with.

use std::path::Path;

use obsteward::config::{RoleConfig, UserConfig};

/// A user with one role, whose password is in a file.
pub fn user(name: &str, role: &str, password_file: &Path) -> UserConfig {
    UserConfig {
        name: name.to_owned(),
        roles: vec![role.to_owned()],
        password_file: Some(password_file.to_owned()),
        password_hash: None,
        certificate_names: Vec::new(),
    }
}

/// Roles with their permissions.
pub fn roles(roles: &[(&str, &[&str])]) -> Vec<RoleConfig> {
    let role = |(name, permissions): &(&str, &[&str])| RoleConfig {
        name: (*name).to_owned(),
        permissions: permissions.iter().map(|permission| (*permission).to_owned()).collect(),
    };
    roles.iter().map(role).collect()
}
