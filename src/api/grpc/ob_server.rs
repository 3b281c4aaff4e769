//! `ObServerService`: each method is a validation, a call and an encoding.

use tonic::{Request, Response, Status};

use crate::api::grpc::call::Calls;
use crate::api::grpc::page::Paging;
use crate::api::grpc::server::ob_server_service_server::ObServerService;
use crate::api::grpc::{encode, validate};
use crate::proto::v1;
use crate::service::views::ServerView;
use crate::watch::encode::task;

pub struct ObServers(pub(super) Calls);

#[tonic::async_trait]
impl ObServerService for ObServers {
    async fn stop_server(
        &self,
        request: Request<v1::StopServerRequest>,
    ) -> Result<Response<v1::StopServerResponse>, Status> {
        self.0
            .unary(request, validate::stop_server, |stored| v1::StopServerResponse { task: Some(task(&stored)) })
            .await
    }

    async fn start_server(
        &self,
        request: Request<v1::StartServerRequest>,
    ) -> Result<Response<v1::StartServerResponse>, Status> {
        self.0
            .unary(request, validate::start_server, |stored| v1::StartServerResponse { task: Some(task(&stored)) })
            .await
    }

    async fn restart_server(
        &self,
        request: Request<v1::RestartServerRequest>,
    ) -> Result<Response<v1::RestartServerResponse>, Status> {
        self.0
            .unary(request, validate::restart_server, |stored| v1::RestartServerResponse { task: Some(task(&stored)) })
            .await
    }

    async fn freeze_server(
        &self,
        request: Request<v1::FreezeServerRequest>,
    ) -> Result<Response<v1::FreezeServerResponse>, Status> {
        self.0
            .unary(request, validate::freeze_server, |stored| v1::FreezeServerResponse { task: Some(task(&stored)) })
            .await
    }

    async fn plan_stop_server(
        &self,
        request: Request<v1::PlanStopServerRequest>,
    ) -> Result<Response<v1::PlanStopServerResponse>, Status> {
        self.0
            .unary(request, validate::plan_stop_server, |plan| v1::PlanStopServerResponse {
                plan: Some(encode::plan(plan)),
            })
            .await
    }

    async fn get_server(
        &self,
        request: Request<v1::GetServerRequest>,
    ) -> Result<Response<v1::GetServerResponse>, Status> {
        self.0
            .unary(
                request,
                |asked| validate::get_server(&asked),
                |view| v1::GetServerResponse { server: Some(encode::server(&view)) },
            )
            .await
    }

    async fn list_servers(
        &self,
        request: Request<v1::ListServersRequest>,
    ) -> Result<Response<v1::ListServersResponse>, Status> {
        let encode = |views, page: Paging| {
            let (views, next_page_token) = page.cut(views, |view: &ServerView| view.row.id.get());
            Ok(v1::ListServersResponse { servers: views.iter().map(encode::server).collect(), next_page_token })
        };
        self.0.list(request, |asked| validate::list_servers(&asked), encode).await
    }
}
