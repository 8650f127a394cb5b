// SPDX-License-Identifier: Apache-2.0
// A line over time. What it shows is also in its label, for those who don't see it.
import { createEffect, onCleanup, type JSX } from 'solid-js';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { theme } from './theme';

interface Props {
  label: string;
  name: string;
  /** Seconds since 1970, and a value. */
  points: [number, number][];
}

const HEIGHT = 220;

export default function Chart(props: Props): JSX.Element {
  const frame = (<div class="chart" role="img" aria-label={props.label} />) as HTMLDivElement;
  let chart: uPlot | undefined;
  const draw = (): void => {
    chart?.destroy();
    // A canvas takes no `light-dark()`: an element does, and says which colour that is.
    const axis = { stroke: getComputedStyle(frame).color, grid: { width: 1, stroke: getComputedStyle(frame).borderTopColor } };
    chart = new uPlot(
      {
        width: frame.clientWidth || 600,
        height: HEIGHT,
        legend: { show: false },
        cursor: { show: false },
        axes: [axis, { ...axis, size: 70 }],
        series: [{}, { label: props.name, stroke: getComputedStyle(frame).outlineColor, width: 2 }],
      },
      [props.points.map(([x]) => x), props.points.map(([, y]) => y)],
      frame,
    );
  };
  const observer = new ResizeObserver(() => draw());
  observer.observe(frame);
  const media = matchMedia('(prefers-color-scheme: dark)');
  media.addEventListener('change', draw);
  createEffect(() => {
    void [theme(), props.points];
    if (frame.isConnected) draw();
  });
  onCleanup(() => {
    observer.disconnect();
    media.removeEventListener('change', draw);
    chart?.destroy();
  });
  return frame;
}
