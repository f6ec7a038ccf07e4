// Opens the series of a study in OHIF, headless, and tells what is to be seen. Judges nothing: judges.py does.
//   node ohif.mjs JOB.json   {base, study, out, series: [{kind: "seg"|"sr"|"pictures"|"pdf", uid, description, targets}]}
// Prints one line of JSON for each series; pictures of the whole window go to `out`.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const job = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const { chromium } = createRequire(path.join(job.cache, 'package.json'))('playwright-core');
const PATIENCE_MS = 180_000; // the graphics card is a program here
const PLANES = ['axial', 'sagittal', 'coronal'];

const browser = await chromium.launch({
  executablePath: job.chromium,
  args: ['--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist'],
});

async function opened(protocol) {
  const page = await browser.newPage({ viewport: { width: 1600, height: 900 } });
  page.setDefaultTimeout(PATIENCE_MS);
  page.problems = [];
  page.on('console', m => m.type() === 'error' && page.problems.push(m.text().slice(0, 160)));
  page.on('pageerror', e => page.problems.push(e.message.slice(0, 160)));
  await page.addInitScript(() => localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour'])));
  await page.goto(`${job.base}/viewer?StudyInstanceUIDs=${job.study}${protocol ? `&hangingprotocolId=${protocol}` : ''}`);
  await page.waitForFunction(n => window.services?.displaySetService?.getActiveDisplaySets?.().length >= n, job.sets, { timeout: PATIENCE_MS });
  await page.waitForFunction(() => [...window.services.viewportGridService.getState().viewports.keys()].every(id => window.services.cornerstoneViewportService.getCornerstoneViewport(id)), null, { timeout: PATIENCE_MS });
  if (protocol === 'mpr')
    await page.waitForFunction(() => {
      const view = window.services.cornerstoneViewportService.getCornerstoneViewport('mpr-axial');
      const volume = view?.getVolumeId?.() && window.cornerstone.cache.getVolume(view.getVolumeId());
      return volume?.loadStatus?.loaded;
    }, null, { timeout: PATIENCE_MS });
  return page;
}

async function doubleClicked(page, series) {
  const set = await page.evaluate(uid => window.services.displaySetService.getActiveDisplaySets().find(d => d.SeriesInstanceUID === uid)?.displaySetInstanceUID, series.uid);
  const thumbnail = page.locator(`[id="thumbnail-${set}"]`).first();
  await thumbnail.scrollIntoViewIfNeeded();
  await thumbnail.dblclick();
  return set;
}

const shot = (page, name) => page.screenshot({ path: path.join(job.out, `${name}.png`), timeout: PATIENCE_MS });

// The canvas of a viewport, and where its pixels are: LPS mm of the first, and the steps to the right and down.
const canvasOf = (page, id) => page.evaluate(id => {
  const view = window.services.cornerstoneViewportService.getCornerstoneViewport(id);
  const at = (x, y) => Array.from(view.canvasToWorld([x, y]));
  const [origin, right, down] = [at(0, 0), at(100, 0), at(0, 100)];
  const scale = view.canvas.width / view.canvas.clientWidth;
  const step = to => to.map((v, i) => (v - origin[i]) / 100 / scale);
  return { png: view.canvas.toDataURL('image/png'), origin, right: step(right), down: step(down) };
}, id);

// Whether the canvas comes to show something (in colour) in this time; what it shows is judged later.
const painted = (page, id, coloured, patience_ms = 30_000) => page.waitForFunction(([id, coloured]) => {
  const view = window.services.cornerstoneViewportService.getCornerstoneViewport(id);
  view.render();
  const { width, height } = view.canvas;
  const data = view.canvas.getContext('2d').getImageData(0, 0, width, height).data;
  let found = 0;
  for (let i = 0; i < data.length; i += 4) {
    const most = Math.max(data[i], data[i + 1], data[i + 2]);
    if (coloured ? most - Math.min(data[i], data[i + 1], data[i + 2]) > 30 : most > 60) found++;
  }
  return found > 100;
}, [id, coloured], { timeout: patience_ms, polling: 1000 }).then(() => true, () => false);

// On a busy machine OHIF sometimes leaves the overlay out of the planes that were not active: a user opens it again.
async function segmentation(series) {
  for (let attempt = 1; ; attempt++) {
    const { page, seen } = await overlaid(series);
    await lookAt(page, series.targets[0]);
    let all = true;
    for (const plane of PLANES) all = (await painted(page, `mpr-${plane}`, true)) && all;
    if (all || attempt === 3) return { attempt, ...(await looked(page, seen, series)) };
    await page.close();
  }
}

async function overlaid(series) {
  const page = await opened('mpr');
  await doubleClicked(page, series);
  const yes = page.locator('[data-cy="yes-hydrate-btn"]').first();
  await yes.waitFor();
  await yes.click();
  await page.waitForFunction(() => window.services.segmentationService.getSegmentations().length, null, { timeout: PATIENCE_MS });
  await page.waitForTimeout(4000);
  const seen = await page.evaluate(planes => {
    const s = window.services.segmentationService;
    const { segmentationId, segments } = s.getSegmentations()[0];
    const without = planes.filter(plane => !s.getSegmentationRepresentations(`mpr-${plane}`, { segmentationId }).length);
    return { segmentationId, without, segments: Object.values(segments).map(x => ({ number: x.segmentIndex, label: x.label })) };
  }, PLANES);
  // The viewer overlays the viewport that was active; in the others a user asks for it, and here this does.
  for (const plane of seen.without)
    await page.evaluate(([id, segmentationId]) => window.services.segmentationService.addSegmentationRepresentation(id, { segmentationId }), [`mpr-${plane}`, seen.segmentationId]);
  return { page, seen };
}

async function lookAt(page, target) {
  for (const plane of PLANES)
    await page.evaluate(([id, point]) => {
      const view = window.services.cornerstoneViewportService.getCornerstoneViewport(id);
      view.jumpToWorld(point);
      view.render();
    }, [`mpr-${plane}`, target.point]);
}

async function looked(page, seen, series) {
  for (const segment of seen.segments)
    segment.rgb = await page.evaluate(([id, n]) => Array.from(window.services.segmentationService.getSegmentColor('mpr-axial', id, n)).slice(0, 3), [seen.segmentationId, segment.number]);
  const views = [];
  for (const target of series.targets) {
    await lookAt(page, target);
    for (const plane of PLANES) await painted(page, `mpr-${plane}`, true, 5000);
    await page.waitForTimeout(1000);
    for (const plane of PLANES) views.push({ target: target.label, plane, ...(await canvasOf(page, `mpr-${plane}`)) });
    await shot(page, `${series.name}-${target.label}`);
  }
  await page.locator('[data-cy="panelSegmentation-btn"]').first().click().catch(() => {});
  await page.waitForTimeout(2500);
  const rows = await page.locator('[data-cy="data-row"]').evaluateAll(e => e.map(x => x.innerText.split('\n').map(t => t.trim()).filter(Boolean)));
  await shot(page, `${series.name}-panel`);
  return { page, segments: seen.segments, rows, views, overlaidAtOnce: PLANES.filter(p => !seen.without.includes(p)) };
}

async function report(series) {
  const page = await opened();
  await doubleClicked(page, series);
  const yes = page.locator('[data-cy="yes-hydrate-btn"]').or(page.getByRole('button', { name: /^yes$/i })).first();
  const prompt = await yes.waitFor({ timeout: 15_000 }).then(() => true, () => false);
  await shot(page, `${series.name}-before`);
  if (prompt) await yes.click();
  await page.waitForTimeout(5000);
  await page.locator('[data-cy="trackedMeasurements-btn"],[data-cy="panelMeasurement-btn"]').first().click({ timeout: 5000 }).catch(() => {});
  await page.waitForTimeout(1500);
  const seen = await page.evaluate(uid => ({
    measurements: window.services.measurementService.getMeasurements().map(m => [m.label, m.type]),
    annotations: window.cornerstoneTools.annotation.state.getAllAnnotations().map(a => a.metadata.toolName),
    hydratable: window.services.displaySetService.getActiveDisplaySets().find(d => d.SeriesInstanceUID === uid)?.isRehydratable ?? null,
    held: window.services.displaySetService.getActiveDisplaySets().find(d => d.SeriesInstanceUID === uid)?.measurements?.length ?? null,
  }), series.uid);
  await shot(page, series.name);
  return { page, prompt, ...seen };
}

async function pictures(series) {
  const page = await opened();
  await doubleClicked(page, series);
  const id = await page.evaluate(() => window.services.viewportGridService.getActiveViewportId());
  const count = await page.waitForFunction(([id, uid]) => {
    const view = window.services.cornerstoneViewportService.getCornerstoneViewport(id);
    const shown = view?.getCurrentImageId?.() && window.cornerstone.metaData.get('instance', view.getCurrentImageId());
    return shown?.SeriesInstanceUID === uid && view.getImageIds().length;
  }, [id, series.uid], { timeout: PATIENCE_MS }).then(h => h.jsonValue());
  const images = [];
  for (let i = 0; i < count; i++) {
    await page.evaluate(([id, i]) => window.services.cornerstoneViewportService.getCornerstoneViewport(id).setImageIdIndex(i), [id, i]);
    await painted(page, id, false);
    await page.waitForTimeout(1000);
    images.push(await page.evaluate(id => {
      const view = window.services.cornerstoneViewportService.getCornerstoneViewport(id);
      const image = view.getCurrentImageId();
      const scale = view.canvas.width / view.canvas.clientWidth;
      const at = (x, y) => Array.from(view.worldToCanvas(window.cornerstone.utilities.imageToWorldCoords(image, [x, y]))).map(v => v * scale);
      return { sop: window.cornerstone.metaData.get('instance', image).SOPInstanceUID, frame: +(/frames\/(\d+)/.exec(image)?.[1] ?? 1), png: view.canvas.toDataURL('image/png'), first: at(0, 0), right: at(100, 0), down: at(0, 100) };
    }, id));
    await shot(page, `${series.name}-${i + 1}`);
  }
  return { page, images };
}

async function document_(series) {
  const page = await opened();
  await doubleClicked(page, series);
  const frame = page.locator('object[type="application/pdf"], iframe[src], embed').first();
  await frame.waitFor({ state: 'attached' });
  await page.waitForTimeout(5000);
  const bytes = await frame.evaluate(async e => {
    const answer = await fetch(e.data || e.src);
    const raw = new Uint8Array(await answer.arrayBuffer());
    return btoa(raw.reduce((text, byte) => text + String.fromCharCode(byte), ''));
  });
  await shot(page, series.name);
  return { page, bytes };
}

// What OHIF makes of everything else: which series it knows.
async function listed() {
  const page = await opened();
  const found = await page.evaluate(() => window.services.displaySetService.getActiveDisplaySets().map(d => [`${d.Modality} ${d.SeriesDescription ?? ''}`, d.unsupported ? 'as not supported' : 'as supported']));
  await shot(page, 'listed');
  return { page, listed: found };
}

const kinds = { listed,  seg: segmentation, sr: report, pictures, pdf: document_ };
for (const series of [{ kind: 'listed', name: 'listed' }, ...job.series]) {
  let told;
  try {
    told = await kinds[series.kind](series);
    const { page } = told;
    told.problems = page.problems;
    delete told.page;
    await page.close();
  } catch (error) {
    told = { error: String(error.message).split('\n')[0] };
    for (const context of browser.contexts()) for (const page of context.pages()) { await shot(page, `${series.name}-failed`).catch(() => {}); await page.close(); }
  }
  fs.appendFileSync(job.answers, JSON.stringify({ name: series.name, ...told }) + '\n');
}
await browser.close();
