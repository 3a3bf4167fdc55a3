// What dicomweb-client is given by a server, as JSON. Arguments: URL, token, study, series, instance,
// a file to store. NODE_FOLDER is where the packages are.
const fs = require('fs');
global.XMLHttpRequest = require(`${process.env.NODE_FOLDER}/xhr2`);
const { api } = require(`${process.env.NODE_FOLDER}/dicomweb-client`);

const [url, token, studyInstanceUID, seriesInstanceUID, sopInstanceUID, file] = process.argv.slice(2);
const client = new api.DICOMwebClient({ url, headers: { Authorization: `Bearer ${token}` } });
const names = { studyInstanceUID, seriesInstanceUID, sopInstanceUID };
const bytes = (got) => [got].flat().map((one) => one.byteLength);

(async () => {
  const drawn = await client.retrieveInstanceRendered({
    ...names, mediaTypes: [{ mediaType: 'image/png' }],
  });
  const jp2 = [{ mediaType: 'image/jp2', transferSyntaxUID: '1.2.840.10008.1.2.4.90' }];
  await client.storeInstances({ datasets: [new Uint8Array(fs.readFileSync(file)).buffer] });
  console.log(JSON.stringify({
    studies: (await client.searchForStudies({ queryParams: { StudyInstanceUID: studyInstanceUID } })).length,
    instances: (await client.searchForInstances(names)).length,
    metadata: (await client.retrieveStudyMetadata(names)).length,
    study: bytes(await client.retrieveStudy(names)),
    instance: bytes(await client.retrieveInstance(names)),
    frame: bytes(await client.retrieveInstanceFrames({ ...names, frameNumbers: [1] })),
    jp2: bytes(await client.retrieveInstanceFrames({ ...names, frameNumbers: [1], mediaTypes: jp2 })),
    png: Buffer.from([drawn].flat()[0]).subarray(1, 4).toString(),
  }));
})().catch((error) => { console.error(error); process.exit(1); });
