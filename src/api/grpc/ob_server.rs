//! `ObServerService`: validates, calls the service, encodes.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::api::auth::Gatekeeper;
use crate::api::grpc::call::Call;
use crate::api::grpc::checked::checked;
use crate::api::grpc::server::ob_server_service_server::ObServerService;
use crate::api::grpc::{encode, page, validate};
use crate::domain::call::Call as Mutation;
use crate::domain::refusal::Refusal;
use crate::proto::v1;
use crate::service::use_cases::UseCases;
use crate::watch::encode::task;

/// See the module's head.
pub struct ObServers {
    pub(super) use_cases: Arc<dyn UseCases>,
    pub(super) gatekeeper: Arc<Gatekeeper>,
}

impl ObServers {
    async fn checked<T: Send>(
        &self,
        call: &Call,
        mutation: Mutation,
        validated: Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        checked(&*self.use_cases, &call.caller, mutation, validated).await
    }
}

#[tonic::async_trait]
impl ObServerService for ObServers {
    async fn stop_server(
        &self,
        request: Request<v1::StopServerRequest>,
    ) -> Result<Response<v1::StopServerResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "StopServer", request).await?;
        call.answer(async {
            let asked = self.checked(&call, Mutation::StopServer, validate::stop_server(request)).await?;
            let stored = self.use_cases.stop_server(&call.caller, asked).await?;
            Ok(v1::StopServerResponse { task: Some(task(&stored)) })
        })
        .await
    }

    async fn start_server(
        &self,
        request: Request<v1::StartServerRequest>,
    ) -> Result<Response<v1::StartServerResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "StartServer", request).await?;
        call.answer(async {
            let asked = self.checked(&call, Mutation::StartServer, validate::start_server(request)).await?;
            let stored = self.use_cases.start_server(&call.caller, asked).await?;
            Ok(v1::StartServerResponse { task: Some(task(&stored)) })
        })
        .await
    }

    async fn restart_server(
        &self,
        request: Request<v1::RestartServerRequest>,
    ) -> Result<Response<v1::RestartServerResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "RestartServer", request).await?;
        call.answer(async {
            let asked = self.checked(&call, Mutation::RestartServer, validate::restart_server(request)).await?;
            let stored = self.use_cases.restart_server(&call.caller, asked).await?;
            Ok(v1::RestartServerResponse { task: Some(task(&stored)) })
        })
        .await
    }

    async fn plan_stop_server(
        &self,
        request: Request<v1::PlanStopServerRequest>,
    ) -> Result<Response<v1::PlanStopServerResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "PlanStopServer", request).await?;
        call.answer(async {
            let plan = self.use_cases.plan_stop_server(&call.caller, validate::plan_stop_server(request)?).await?;
            Ok(v1::PlanStopServerResponse { plan: Some(encode::plan(plan)) })
        })
        .await
    }

    async fn get_server(
        &self,
        request: Request<v1::GetServerRequest>,
    ) -> Result<Response<v1::GetServerResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "GetServer", request).await?;
        call.answer(async {
            let (cluster, server) = validate::get_server(&request)?;
            let view = self.use_cases.get_server(&call.caller, cluster, server).await?;
            Ok(v1::GetServerResponse { server: Some(encode::server(&view)) })
        })
        .await
    }

    async fn list_servers(
        &self,
        request: Request<v1::ListServersRequest>,
    ) -> Result<Response<v1::ListServersResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "ListServers", request).await?;
        call.answer(async {
            let (asked, listing) = validate::list_servers(&request)?;
            let size = asked.limit - 1;
            let mut views = self.use_cases.list_servers(&call.caller, asked).await?;
            let more = page::cut(&mut views, size);
            let next = views.last().filter(|_| more).map(|last| listing.token(last.row.id.get()));
            Ok(v1::ListServersResponse {
                servers: views.iter().map(encode::server).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        })
        .await
    }
}
