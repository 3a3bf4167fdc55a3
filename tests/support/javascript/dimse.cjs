// What dcmjs-dimse is told by a provider, as JSON. Arguments: port, calling and called AE title, a
// study to get, a file to store. NODE_FOLDER is where the packages are.
// It prints every private attribute it does not know.
for (const name of ['debug', 'error', 'info', 'log', 'trace', 'warn']) console[name] = () => {};
const dimse = require(`${process.env.NODE_FOLDER}/dcmjs-dimse`);
const { CEchoRequest, CFindRequest, CGetRequest, CStoreRequest } = dimse.requests;

const [port, calling, called, study, file] = process.argv.slice(2);

const asked = (request) => new Promise((resolve, reject) => {
  const told = { statuses: [], found: [], stored: [] };
  const client = new dimse.Client();
  request.on('response', (response) => {
    told.statuses.push(response.getStatus());
    if (response.hasDataset()) told.found.push(response.getDataset().getElement('StudyInstanceUID'));
  });
  client.on('cStoreRequest', (store, answer) => {
    const dataset = store.getDataset();
    told.stored.push([dataset.getElement('SOPInstanceUID'), dataset.getTransferSyntaxUid()]);
    const response = dimse.responses.CStoreResponse.fromRequest(store);
    response.setStatus(dimse.constants.Status.Success);
    answer(response);
  });
  client.on('networkError', reject);
  client.on('closed', () => resolve(told));
  client.addRequest(request);
  client.send('127.0.0.1', Number(port), calling, called);
});

(async () => {
  const told = {
    echo: await asked(new CEchoRequest()),
    store: await asked(new CStoreRequest(file)),
    find: await asked(CFindRequest.createStudyFindRequest({ StudyInstanceUID: study })),
    get: await asked(CGetRequest.createStudyGetRequest(study)),
  };
  process.stdout.write(JSON.stringify(told));
})().catch((error) => { process.stderr.write(String(error)); process.exit(1); });
