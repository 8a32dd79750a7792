// A client of the control API that is not ours: Node's gRPC, which reads the .proto files.
//
// Usage: control.cjs SOCKET PROTO_DIRECTORY

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [socket, protos] = process.argv.slice(2);
const definition = loader.loadSync("leadline/control/v1/company.proto", { includeDirs: [protos], keepCase: true });
const { CompanyService } = grpc.loadPackageDefinition(definition).leadline.control.v1;
const client = new CompanyService(`unix:${socket}`, grpc.credentials.createInsecure());

const call = (method, request) =>
  new Promise((resolve, reject) =>
    client[method](request, (error, answer) => (error ? reject(error) : resolve(answer))));

(async () => {
  const { companies } = await call("ListCompanies", {});
  const refusal = await call("GetCompany", { company: "nobody" }).catch(({ code, details }) => ({ code, details }));
  console.log(JSON.stringify({ companies: companies.map((company) => company.name), refusal }));
  client.close();
})();
