//! `AdminService`: validates, calls the service, encodes. The secret of a key leaves here, and only here, once.

use std::sync::Arc;

use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use crate::api::auth::Gatekeeper;
use crate::api::grpc::backup;
use crate::api::grpc::call::{Call, Messages};
use crate::api::grpc::checked::checked;
use crate::api::grpc::server::admin_service_server::AdminService;
use crate::api::grpc::{encode_admin as encode, page, validate_admin as validate};
use crate::domain::call::Call as Mutation;
use crate::domain::refusal::Refusal;
use crate::proto::v1;
use crate::service::use_cases::UseCases;

/// See the module's head.
pub struct Administrators {
    pub(super) use_cases: Arc<dyn UseCases>,
    pub(super) gatekeeper: Arc<Gatekeeper>,
}

impl Administrators {
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
impl AdminService for Administrators {
    type BackupStoreStream = Messages<v1::BackupStoreResponse>;

    async fn backup_store(
        &self,
        request: Request<v1::BackupStoreRequest>,
    ) -> Result<Response<Self::BackupStoreStream>, Status> {
        let (call, _) = Call::admit(&self.gatekeeper, "BackupStore", request).await?;
        call.stream(async { Ok(backup::parts(self.use_cases.backup_store(&call.caller).await?)) }).await
    }

    async fn create_user(
        &self,
        request: Request<v1::CreateUserRequest>,
    ) -> Result<Response<v1::CreateUserResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "CreateUser", request).await?;
        call.answer(async {
            let asked = self.checked(&call, Mutation::CreateUser, validate::create_user(request)).await?;
            let view = self.use_cases.create_user(&call.caller, asked).await?;
            Ok(v1::CreateUserResponse { user: Some(encode::user(&view)) })
        })
        .await
    }

    async fn update_user(
        &self,
        request: Request<v1::UpdateUserRequest>,
    ) -> Result<Response<v1::UpdateUserResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "UpdateUser", request).await?;
        call.answer(async {
            let asked = self.checked(&call, Mutation::UpdateUser, validate::update_user(request)).await?;
            let view = self.use_cases.update_user(&call.caller, asked).await?;
            Ok(v1::UpdateUserResponse { user: Some(encode::user(&view)) })
        })
        .await
    }

    async fn set_password(
        &self,
        request: Request<v1::SetPasswordRequest>,
    ) -> Result<Response<v1::SetPasswordResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "SetPassword", request).await?;
        call.answer(async {
            let valid = validate::set_password(request);
            let (user, password) = self.checked(&call, Mutation::SetPassword, valid).await?;
            self.use_cases.set_password(&call.caller, user, password).await?;
            Ok(v1::SetPasswordResponse {})
        })
        .await
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "ListUsers", request).await?;
        call.answer(async {
            let views = self.use_cases.list_users(&call.caller).await?;
            let (views, next_page_token) = validate::page_of_users(&request, views)?;
            Ok(v1::ListUsersResponse { users: views.iter().map(encode::user).collect(), next_page_token })
        })
        .await
    }

    async fn create_access_key(
        &self,
        request: Request<v1::CreateAccessKeyRequest>,
    ) -> Result<Response<v1::CreateAccessKeyResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "CreateAccessKey", request).await?;
        call.answer(async {
            let valid = validate::optional_user(&request.user);
            let user = self.checked(&call, Mutation::CreateAccessKey, valid).await?;
            let view = self.use_cases.create_access_key(&call.caller, user).await?;
            Ok(v1::CreateAccessKeyResponse {
                access_key: Some(encode::access_key(&view)),
                secret: view.row.secret.expose_secret().to_owned(),
            })
        })
        .await
    }

    async fn update_access_key(
        &self,
        request: Request<v1::UpdateAccessKeyRequest>,
    ) -> Result<Response<v1::UpdateAccessKeyResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "UpdateAccessKey", request).await?;
        call.answer(async {
            let valid = validate::access_key(&request.id);
            let key = self.checked(&call, Mutation::UpdateAccessKey, valid).await?;
            let view = self.use_cases.update_access_key(&call.caller, key, request.disabled).await?;
            Ok(v1::UpdateAccessKeyResponse { access_key: Some(encode::access_key(&view)) })
        })
        .await
    }

    async fn rotate_access_key(
        &self,
        request: Request<v1::RotateAccessKeyRequest>,
    ) -> Result<Response<v1::RotateAccessKeyResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "RotateAccessKey", request).await?;
        call.answer(async {
            let valid = validate::access_key(&request.id);
            let key = self.checked(&call, Mutation::RotateAccessKey, valid).await?;
            let view = self.use_cases.rotate_access_key(&call.caller, key).await?;
            Ok(v1::RotateAccessKeyResponse {
                access_key: Some(encode::access_key(&view)),
                secret: view.row.secret.expose_secret().to_owned(),
            })
        })
        .await
    }

    async fn list_access_keys(
        &self,
        request: Request<v1::ListAccessKeysRequest>,
    ) -> Result<Response<v1::ListAccessKeysResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "ListAccessKeys", request).await?;
        call.answer(async {
            let user = validate::optional_user(&request.user)?;
            let views = self.use_cases.list_access_keys(&call.caller, user).await?;
            let (views, next_page_token) = validate::page_of_access_keys(&request, views)?;
            let access_keys = views.iter().map(encode::access_key).collect();
            Ok(v1::ListAccessKeysResponse { access_keys, next_page_token })
        })
        .await
    }

    async fn create_role(
        &self,
        request: Request<v1::CreateRoleRequest>,
    ) -> Result<Response<v1::CreateRoleResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "CreateRole", request).await?;
        call.answer(async {
            let valid = validate::create_role(&request);
            let (name, permissions) = self.checked(&call, Mutation::CreateRole, valid).await?;
            let view = self.use_cases.create_role(&call.caller, name, permissions).await?;
            Ok(v1::CreateRoleResponse { role: Some(encode::role(&view)) })
        })
        .await
    }

    async fn delete_role(
        &self,
        request: Request<v1::DeleteRoleRequest>,
    ) -> Result<Response<v1::DeleteRoleResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "DeleteRole", request).await?;
        call.answer(async {
            let name = self.checked(&call, Mutation::DeleteRole, validate::role_name(&request.name)).await?;
            self.use_cases.delete_role(&call.caller, name).await?;
            Ok(v1::DeleteRoleResponse {})
        })
        .await
    }

    async fn list_roles(
        &self,
        request: Request<v1::ListRolesRequest>,
    ) -> Result<Response<v1::ListRolesResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "ListRoles", request).await?;
        call.answer(async {
            let views = self.use_cases.list_roles(&call.caller).await?;
            let (views, next_page_token) = validate::page_of_roles(&request, views)?;
            Ok(v1::ListRolesResponse { roles: views.iter().map(encode::role).collect(), next_page_token })
        })
        .await
    }

    async fn list_audit_records(
        &self,
        request: Request<v1::ListAuditRecordsRequest>,
    ) -> Result<Response<v1::ListAuditRecordsResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "ListAuditRecords", request).await?;
        call.answer(async {
            let (validate::ListAudit { filter, below, limit }, listing) = validate::list_audit(&request)?;
            let mut records = self.use_cases.list_audit_records(&call.caller, filter, below, limit).await?;
            let more = page::cut(&mut records, limit - 1);
            let next = records.last().filter(|_| more).map(|last| listing.token(last.id));
            Ok(v1::ListAuditRecordsResponse {
                records: records.iter().map(encode::audit_record).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        })
        .await
    }
}
