//! `obsteward clusters update`.

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::password::PasswordArgs;
use super::show::print;
use crate::api::host_words::{parse_default_host, parse_host};
use crate::cli::client::{CLUSTER_TIMEOUT, Client};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::resolve;
use crate::proto::v1;

/// Arguments of `clusters update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Cluster, by name or id
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// New endpoint host:sql_port, in place of all that were there; may be given more than once
    #[arg(long = "endpoint", value_name = "HOST:PORT")]
    endpoints: Vec<String>,
    /// New user of the cluster's sys tenant (--user is who calls)
    #[arg(long, value_name = "USER")]
    cluster_user: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
    /// New way to a host, in place of all that were there: ip=none, ip=local, ip=grpc:host:port or ip=ssh:[user@]host[:port]; may
    /// be given more than once
    #[arg(long = "host", value_name = "IP=WAY", value_parser = parse_host)]
    hosts: Vec<v1::Host>,
    /// New way to the hosts that --host does not name: local, grpc:PORT or ssh:[USER@][:PORT]
    #[arg(long, value_name = "WAY", value_parser = parse_default_host)]
    default_host: Option<v1::DefaultHost>,
}

pub async fn run(args: UpdateArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let password = args.password.read()?;
    let cluster = args.cluster.clone();
    let mut request = request(args, password)?;
    request.cluster_id = resolve::cluster(client, &cluster).await?;
    request.reason = client.reason();
    let answer = client.change("update cluster", CLUSTER_TIMEOUT, client.clusters().update_cluster(request)).await?;
    print(answer.cluster, output)
}

/// The mask holds exactly what was given.
fn request(args: UpdateArgs, password: Option<SecretString>) -> Result<v1::UpdateClusterRequest, Failure> {
    let given = [
        ("endpoints", !args.endpoints.is_empty()),
        ("username", args.cluster_user.is_some()),
        ("password", password.is_some()),
        ("hosts", !args.hosts.is_empty()),
        ("default_host", args.default_host.is_some()),
    ];
    let paths: Vec<_> = given.iter().filter(|(_, given)| *given).map(|(path, _)| (*path).to_owned()).collect();
    if paths.is_empty() {
        return Err(Failure::Usage(
            "nothing to change, give --endpoint, --cluster-user, --cluster-password-file, --host or --default-host"
                .to_owned(),
        ));
    }
    Ok(v1::UpdateClusterRequest {
        cluster_id: 0,
        endpoints: args.endpoints,
        username: args.cluster_user.unwrap_or_default(),
        password: password.map(|password| password.expose_secret().to_owned()).unwrap_or_default(),
        hosts: args.hosts,
        update_mask: Some(prost_types::FieldMask { paths }),
        default_host: args.default_host,
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed::parsed;

    fn mask(line: &str, password: Option<&str>) -> Result<Vec<String>, Failure> {
        request(parsed(&format!("ob {line}")), password.map(SecretString::from))
            .map(|request| request.update_mask.unwrap().paths)
    }

    #[test]
    fn the_mask_holds_what_was_given() {
        assert_eq!(mask("--cluster-user u@sys --host 10.0.0.2=local", None).unwrap(), ["username", "hosts"]);
        assert_eq!(mask("--endpoint h:1 --default-host local", None).unwrap(), ["endpoints", "default_host"]);
        assert_eq!(mask("", Some("")).unwrap(), ["password"]);
        assert!(matches!(mask("", None), Err(Failure::Usage(_))));
    }
}
