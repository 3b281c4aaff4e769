//! `AdminService`: each method is a validation, a call and an encoding. The secret of a key leaves here, and only here, once.

use std::future::ready;

use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use crate::api::grpc::backup;
use crate::api::grpc::call::{Calls, Messages};
use crate::api::grpc::page::Paging;
use crate::api::grpc::server::admin_service_server::AdminService;
use crate::api::grpc::{encode_admin as encode, validate_admin as validate};
use crate::proto::v1;
use crate::service::{
    BackupStore, DeleteRole, ListNotificationTargets, ListReplicas, ListRoles, ListUsers, RotateAccessKey,
};
use crate::store::access::StoredAuditRecord;

pub struct Administrators(pub(super) Calls);

#[tonic::async_trait]
impl AdminService for Administrators {
    type BackupStoreStream = Messages<v1::BackupStoreResponse>;

    async fn backup_store(
        &self,
        request: Request<v1::BackupStoreRequest>,
    ) -> Result<Response<Self::BackupStoreStream>, Status> {
        self.0.stream(request, |_| Ok(BackupStore), |_, backup| ready(Ok(backup::parts(backup)))).await
    }

    async fn create_user(
        &self,
        request: Request<v1::CreateUserRequest>,
    ) -> Result<Response<v1::CreateUserResponse>, Status> {
        self.0
            .unary(request, validate::create_user, |view| v1::CreateUserResponse { user: Some(encode::user(&view)) })
            .await
    }

    async fn update_user(
        &self,
        request: Request<v1::UpdateUserRequest>,
    ) -> Result<Response<v1::UpdateUserResponse>, Status> {
        self.0
            .unary(request, validate::update_user, |view| v1::UpdateUserResponse { user: Some(encode::user(&view)) })
            .await
    }

    async fn set_password(
        &self,
        request: Request<v1::SetPasswordRequest>,
    ) -> Result<Response<v1::SetPasswordResponse>, Status> {
        self.0.unary(request, validate::set_password, |()| v1::SetPasswordResponse {}).await
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        let encode = |views, asked| {
            let (views, next_page_token) = validate::page_of_users(&asked, views)?;
            Ok(v1::ListUsersResponse { users: views.iter().map(encode::user).collect(), next_page_token })
        };
        self.0.list(request, |asked| Ok((ListUsers, asked)), encode).await
    }

    async fn create_access_key(
        &self,
        request: Request<v1::CreateAccessKeyRequest>,
    ) -> Result<Response<v1::CreateAccessKeyResponse>, Status> {
        self.0
            .unary(
                request,
                |asked| validate::create_access_key(&asked),
                |view| v1::CreateAccessKeyResponse {
                    access_key: Some(encode::access_key(&view)),
                    secret: view.row.secret.expose_secret().to_owned(),
                },
            )
            .await
    }

    async fn update_access_key(
        &self,
        request: Request<v1::UpdateAccessKeyRequest>,
    ) -> Result<Response<v1::UpdateAccessKeyResponse>, Status> {
        self.0
            .unary(
                request,
                |asked| validate::update_access_key(&asked),
                |view| v1::UpdateAccessKeyResponse { access_key: Some(encode::access_key(&view)) },
            )
            .await
    }

    async fn rotate_access_key(
        &self,
        request: Request<v1::RotateAccessKeyRequest>,
    ) -> Result<Response<v1::RotateAccessKeyResponse>, Status> {
        self.0
            .unary(
                request,
                |asked| validate::access_key(&asked.id).map(RotateAccessKey),
                |view| v1::RotateAccessKeyResponse {
                    access_key: Some(encode::access_key(&view)),
                    secret: view.row.secret.expose_secret().to_owned(),
                },
            )
            .await
    }

    async fn list_access_keys(
        &self,
        request: Request<v1::ListAccessKeysRequest>,
    ) -> Result<Response<v1::ListAccessKeysResponse>, Status> {
        let encode = |views, asked| {
            let (views, next_page_token) = validate::page_of_access_keys(&asked, views)?;
            let access_keys = views.iter().map(encode::access_key).collect();
            Ok(v1::ListAccessKeysResponse { access_keys, next_page_token })
        };
        self.0.list(request, |asked| Ok((validate::list_access_keys(&asked)?, asked)), encode).await
    }

    async fn create_role(
        &self,
        request: Request<v1::CreateRoleRequest>,
    ) -> Result<Response<v1::CreateRoleResponse>, Status> {
        self.0
            .unary(
                request,
                |asked| validate::create_role(&asked),
                |view| v1::CreateRoleResponse { role: Some(encode::role(&view)) },
            )
            .await
    }

    async fn delete_role(
        &self,
        request: Request<v1::DeleteRoleRequest>,
    ) -> Result<Response<v1::DeleteRoleResponse>, Status> {
        self.0
            .unary(request, |asked| validate::role_name(&asked.name).map(DeleteRole), |()| v1::DeleteRoleResponse {})
            .await
    }

    async fn list_roles(
        &self,
        request: Request<v1::ListRolesRequest>,
    ) -> Result<Response<v1::ListRolesResponse>, Status> {
        let encode = |views, asked| {
            let (views, next_page_token) = validate::page_of_roles(&asked, views)?;
            Ok(v1::ListRolesResponse { roles: views.iter().map(encode::role).collect(), next_page_token })
        };
        self.0.list(request, |asked| Ok((ListRoles, asked)), encode).await
    }

    async fn list_replicas(
        &self,
        request: Request<v1::ListReplicasRequest>,
    ) -> Result<Response<v1::ListReplicasResponse>, Status> {
        let encode = |views, asked| {
            let (views, next_page_token) = validate::page_of_replicas(&asked, views)?;
            Ok(v1::ListReplicasResponse { replicas: views.iter().map(encode::replica).collect(), next_page_token })
        };
        self.0.list(request, |asked| Ok((ListReplicas, asked)), encode).await
    }

    async fn list_notification_targets(
        &self,
        request: Request<v1::ListNotificationTargetsRequest>,
    ) -> Result<Response<v1::ListNotificationTargetsResponse>, Status> {
        let encode = |views, asked| {
            let (views, next_page_token) = validate::page_of_notification_targets(&asked, views)?;
            let targets = views.iter().map(encode::notification_target).collect();
            Ok(v1::ListNotificationTargetsResponse { targets, next_page_token })
        };
        self.0.list(request, |asked| Ok((ListNotificationTargets, asked)), encode).await
    }

    async fn list_audit_records(
        &self,
        request: Request<v1::ListAuditRecordsRequest>,
    ) -> Result<Response<v1::ListAuditRecordsResponse>, Status> {
        let encode = |records, page: Paging| {
            let (records, next_page_token) = page.cut(records, |record: &StoredAuditRecord| record.id);
            let records = records.iter().map(encode::audit_record).collect();
            Ok(v1::ListAuditRecordsResponse { records, next_page_token })
        };
        self.0.list(request, |asked| validate::list_audit(&asked), encode).await
    }
}
