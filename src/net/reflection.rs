//! `grpc.reflection` v1 and v1alpha over one table of descriptors. As specified, a question that has no answer is answered with
//! an error and the conversation goes on, where tonic's own ends it.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;

use futures::stream::{Stream, StreamExt};
use prost::{DecodeError, Message};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::{v1, v1alpha};

/// A set of files, each as it was compiled: decoded and encoded again it would lose what this program does not know.
#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Table {
    files: HashMap<String, Arc<[u8]>>,
    /// For every symbol, the file that defines it.
    symbols: HashMap<String, Arc<[u8]>>,
    messages: BTreeSet<String>,
    services: BTreeSet<String>,
}

/// The error that is sent back instead of an answer.
struct LookupError(Code, String);

/// The services of both versions, for these descriptor sets and their own.
#[derive(Clone, Debug)]
pub struct Reflection(Arc<Table>);

impl Reflection {
    /// `sets`: compiled descriptor sets; fails when one is not.
    pub fn of(sets: &[&[u8]]) -> Result<Self, DecodeError> {
        let mut table = Table::default();
        for set in sets.iter().chain([&v1::FILE_DESCRIPTOR_SET, &v1alpha::FILE_DESCRIPTOR_SET]) {
            for file in Files::decode(*set)?.file {
                table.add(&FileDescriptorProto::decode(file.as_slice())?, &Arc::from(file));
            }
        }
        Ok(Self(Arc::new(table)))
    }

    pub fn v1(&self) -> v1::server_reflection_server::ServerReflectionServer<Self> {
        v1::server_reflection_server::ServerReflectionServer::new(self.clone())
    }

    /// The version that older programs ask for.
    pub fn v1alpha(&self) -> v1alpha::server_reflection_server::ServerReflectionServer<Self> {
        v1alpha::server_reflection_server::ServerReflectionServer::new(self.clone())
    }
}

impl Table {
    fn add(&mut self, file: &FileDescriptorProto, compiled: &Arc<[u8]>) {
        if self.files.insert(file.name().to_owned(), Arc::clone(compiled)).is_some() {
            return;
        }
        let package = file.package();
        for message in &file.message_type {
            self.message(package, message, compiled);
        }
        for one in &file.enum_type {
            self.enumeration(package, one, compiled);
        }
        for service in &file.service {
            let name = self.symbol(package, service.name(), compiled);
            for method in &service.method {
                self.symbol(&name, method.name(), compiled);
            }
            self.services.insert(name);
        }
    }

    fn symbol(&mut self, scope: &str, name: &str, compiled: &Arc<[u8]>) -> String {
        let name = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        self.symbols.insert(name.clone(), Arc::clone(compiled));
        name
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto, compiled: &Arc<[u8]>) {
        let name = self.symbol(scope, message.name(), compiled);
        for field in &message.field {
            self.symbol(&name, field.name(), compiled);
        }
        for oneof in &message.oneof_decl {
            self.symbol(&name, oneof.name(), compiled);
        }
        for nested in &message.nested_type {
            self.message(&name, nested, compiled);
        }
        for nested in &message.enum_type {
            self.enumeration(&name, nested, compiled);
        }
        self.messages.insert(name);
    }

    /// Values stand beside their enum, as in C++; asked for below it they are found too.
    fn enumeration(&mut self, scope: &str, one: &EnumDescriptorProto, compiled: &Arc<[u8]>) {
        let name = self.symbol(scope, one.name(), compiled);
        for value in &one.value {
            self.symbol(scope, value.name(), compiled);
            self.symbol(&name, value.name(), compiled);
        }
    }

    fn file(&self, name: &str) -> Result<Vec<Vec<u8>>, LookupError> {
        let found = self.files.get(name).map(|file| vec![file.to_vec()]);
        found.ok_or_else(|| LookupError(Code::NotFound, format!("there is no file {name:?}")))
    }

    fn defining(&self, symbol: &str) -> Result<Vec<Vec<u8>>, LookupError> {
        let found = self.symbols.get(symbol).map(|file| vec![file.to_vec()]);
        found.ok_or_else(|| LookupError(Code::NotFound, format!("there is no symbol {symbol:?}")))
    }

    /// No message here has extensions.
    fn extended(&self, message: &str) -> Result<(), LookupError> {
        let known = self.messages.contains(message.trim_start_matches('.'));
        known.then_some(()).ok_or_else(|| LookupError(Code::NotFound, format!("there is no message {message:?}")))
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The two versions have the same messages under different names.
macro_rules! version {
    ($version:ident) => {
        #[tonic::async_trait]
        impl $version::server_reflection_server::ServerReflection for Reflection {
            type ServerReflectionInfoStream = Answers<$version::ServerReflectionResponse>;

            async fn server_reflection_info(
                &self,
                questions: Request<Streaming<$version::ServerReflectionRequest>>,
            ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                let table = Arc::clone(&self.0);
                let answers = questions.into_inner().map(move |question| question.map(|one| $version(&table, one)));
                Ok(Response::new(Box::pin(answers)))
            }
        }

        fn $version(table: &Table, question: $version::ServerReflectionRequest) -> $version::ServerReflectionResponse {
            use $version::server_reflection_request::MessageRequest as Asked;
            use $version::server_reflection_response::MessageResponse as Answer;
            let files = |file_descriptor_proto| {
                Answer::FileDescriptorResponse($version::FileDescriptorResponse { file_descriptor_proto })
            };
            let answer = match &question.message_request {
                Some(Asked::FileByFilename(name)) => table.file(name).map(files),
                Some(Asked::FileContainingSymbol(symbol)) => table.defining(symbol).map(files),
                Some(Asked::FileContainingExtension(extension)) => {
                    let (message, number) = (&extension.containing_type, extension.extension_number);
                    Err(LookupError(Code::NotFound, format!("{message:?} has no extension {number}")))
                }
                Some(Asked::AllExtensionNumbersOfType(message)) => table.extended(message).map(|()| {
                    Answer::AllExtensionNumbersResponse($version::ExtensionNumberResponse {
                        base_type_name: message.clone(),
                        extension_number: Vec::new(),
                    })
                }),
                Some(Asked::ListServices(_)) => {
                    let service = table.services.iter().map(|name| $version::ServiceResponse { name: name.clone() });
                    Ok(Answer::ListServicesResponse($version::ListServiceResponse { service: service.collect() }))
                }
                None => Err(LookupError(Code::InvalidArgument, "the request asks nothing".to_owned())),
            };
            let answer = answer.unwrap_or_else(|LookupError(code, error_message)| {
                Answer::ErrorResponse($version::ErrorResponse { error_code: code.into(), error_message })
            });
            $version::ServerReflectionResponse {
                valid_host: question.host.clone(),
                original_request: Some(question),
                message_response: Some(answer),
            }
        }
    };
}

version!(v1);
version!(v1alpha);
