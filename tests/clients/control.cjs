// A client of the control API that is not ours: Node's gRPC, which reads the .proto files, and asks by reflection and
// health what any daemon is asked.
//
// Usage: control.cjs SOCKET PROTO_DIRECTORY

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [socket, protos] = process.argv.slice(2);
const files = ["company", "integration"].map((name) => `leadline/control/v1/${name}.proto`);
const definition = loader.loadSync(files, { includeDirs: [protos], keepCase: true, oneofs: true });
const { CompanyService, IntegrationService } = grpc.loadPackageDefinition(definition).leadline.control.v1;

const text = (id) => ({ type: "string", id });
// As much of the services that every daemon has as is spoken here.
const standard = {
  "health.v1": {
    Ask: { fields: { service: text(1) } },
    Told: { fields: { status: { type: "Status", id: 1 } }, nested: { Status: { values: { UNKNOWN: 0, SERVING: 1 } } } },
    Health: { methods: { Check: { requestType: "Ask", responseType: "Told" } } },
  },
  "reflection.v1": {
    Ask: { fields: { list_services: text(7) } },
    Service: { fields: { name: text(1) } },
    Services: { fields: { service: { rule: "repeated", type: "Service", id: 1 } } },
    Told: { fields: { list_services_response: { type: "Services", id: 6 } } },
    ServerReflection: {
      methods: {
        ServerReflectionInfo: { requestType: "Ask", requestStream: true, responseType: "Told", responseStream: true },
      },
    },
  },
};
const declared = (name) => {
  const nested = [...`grpc.${name}`.split(".")].reverse().reduce((inner, part) => ({ [part]: { nested: inner } }), standard[name]);
  const loaded = grpc.loadPackageDefinition(loader.fromJSON({ nested }, { keepCase: true, enums: String }));
  return `grpc.${name}`.split(".").reduce((inner, part) => inner[part], loaded);
};

const clients = [];
const connect = (Service) => {
  clients.push(new Service(`unix:${socket}`, grpc.credentials.createInsecure()));
  return clients.at(-1);
};

const call = (client, method, request) =>
  new Promise((resolve, reject) =>
    client[method](request, (error, answer) => (error ? reject(error) : resolve(answer))));

// The first message of a stream, which is then given up.
const first = (stream) =>
  new Promise((resolve, reject) => {
    stream.on("error", (error) => (error.code === grpc.status.CANCELLED ? undefined : reject(error)));
    stream.on("data", (message) => {
      stream.cancel();
      resolve(message);
    });
  });

// The machine reason of a refusal: google.rpc.ErrorInfo within google.rpc.Status, whose reason is the first field.
const reason = (error) => {
  const [details] = error.metadata.get("grpc-status-details-bin");
  return /[A-Z][A-Z_]+/.exec(details.subarray(details.indexOf("google.rpc.ErrorInfo") + 20).toString("latin1"))[0];
};

(async () => {
  const company = connect(CompanyService);
  const { companies } = await call(company, "ListCompanies", {});
  const refusal = await call(company, "GetCompany", { company: "nobody" }).catch((error) => ({
    code: error.code,
    details: error.details,
    reason: reason(error),
  }));
  const { status } = await call(connect(declared("health.v1").Health), "Check", {});
  const reflection = connect(declared("reflection.v1").ServerReflection).ServerReflectionInfo();
  reflection.write({ list_services: "*" });
  const told = await first(reflection);
  const watched = await first(connect(IntegrationService).WatchIntegrations({}));
  console.log(JSON.stringify({
    companies: companies.map((company) => company.name),
    refusal,
    health: status,
    services: told.list_services_response.service.map((service) => service.name),
    snapshot: watched.snapshot.integrations.map((integration) => integration.name),
  }));
  clients.forEach((client) => client.close());
})();
