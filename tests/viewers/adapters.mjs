// Voxels of each segment as @cornerstonejs/adapters, the reader in OHIF, counts them. No browser.
//   node adapters.mjs CACHE IMAGE_FOLDER SEG...     prints {"file": {"segment number": voxels}} as JSON
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [cache, folder, ...segs] = process.argv.slice(2);
const from = (name, entry) => import(pathToFileURL(path.join(cache, 'node_modules', name, entry)).href);
for (const way of ['log', 'warn', 'info', 'debug']) console[way] = () => {};
const module_ = name => JSON.parse(fs.readFileSync(path.join(cache, 'node_modules', name, 'package.json'), 'utf8'));
const entry = name => { const p = module_(name); const e = p.exports?.['.'] ?? p; return e.import?.default ?? e.import ?? e.module ?? p.module ?? p.main; };
const { default: dcmjs } = await from('dcmjs', entry('dcmjs'));
const { adaptersSEG } = await from('@cornerstonejs/adapters', entry('@cornerstonejs/adapters'));
const { metaData } = await from('@cornerstonejs/core', entry('@cornerstonejs/core'));

const bufferOf = file => { const b = fs.readFileSync(file); return b.buffer.slice(b.byteOffset, b.byteOffset + b.length); };
const images = fs.readdirSync(folder).sort().map(name => dcmjs.data.DicomMetaDictionary.naturalizeDataset(dcmjs.data.DicomMessage.readFile(bufferOf(path.join(folder, name))).dict));
const about = {
  instance: d => d,
  sopCommonModule: d => ({ sopInstanceUID: d.SOPInstanceUID, sopClassUID: d.SOPClassUID }),
  generalImageModule: d => ({ sopInstanceUID: d.SOPInstanceUID, sopClassUID: d.SOPClassUID }),
  generalSeriesModule: d => ({ modality: d.Modality, seriesInstanceUID: d.SeriesInstanceUID, studyInstanceUID: d.StudyInstanceUID }),
  imagePixelModule: d => ({ bitsAllocated: 16, rows: d.Rows, columns: d.Columns, pixelRepresentation: d.PixelRepresentation, samplesPerPixel: 1 }),
  imagePlaneModule: d => ({
    frameOfReferenceUID: d.FrameOfReferenceUID, rows: d.Rows, columns: d.Columns, sliceThickness: +d.SliceThickness,
    imageOrientationPatient: d.ImageOrientationPatient, imagePositionPatient: d.ImagePositionPatient, pixelSpacing: d.PixelSpacing,
    rowCosines: d.ImageOrientationPatient.slice(0, 3), columnCosines: d.ImageOrientationPatient.slice(3),
    rowPixelSpacing: +d.PixelSpacing[0], columnPixelSpacing: +d.PixelSpacing[1],
  }),
};
const metadataProvider = { get: (kind, id) => about[kind]?.(images[+id.split(':')[1]]) };
metaData.addProvider((kind, id) => (String(id).startsWith('image:') ? metadataProvider.get(kind, id) : undefined), 10000);

const counted = {};
for (const file of segs) {
  const read = await adaptersSEG.Cornerstone3D.Segmentation.createFromDICOMSegBuffer(
    images.map((_, i) => `image:${i}`), bufferOf(file), { metadataProvider, tolerance: 1e-3, skipOverlapping: false });
  const voxels = {};
  for (const group of read.labelMapImages)
    for (const image of [].concat(group))
      for (const value of image.voxelManager?.getScalarData?.() ?? image.getPixelData()) if (value) voxels[value] = (voxels[value] ?? 0) + 1;
  counted[file] = voxels;
}
process.stdout.write(JSON.stringify(counted), () => process.exit(0));
