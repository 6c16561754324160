/** `<siren-img>`: behaves as `<img>`, and zooms if it is `zoomable`. See docs/WEB.md. */

import type { Picture, Priors, Region, Show } from './siren';

/** Events: `load` and `error` as of `<img>`; `layer` when a picture, or a finer layer of it, has
 * come; `draw` when the canvas shows what it should; `view` when another part is seen. */
export class SirenImage extends HTMLElement {
  /** What `open` is given as `priors` by all elements. */
  static priors: Priors | undefined;

  src: string;
  readonly currentSrc: string;
  alt: string;
  loading: 'eager' | 'lazy';
  /** As shown, in CSS pixels. */
  get width(): number;
  set width(value: number | string);
  get height(): number;
  set height(value: number | string);
  /** Pixels of the picture; 0 until its first layer has come. */
  readonly naturalWidth: number;
  readonly naturalHeight: number;
  readonly complete: boolean;
  /** Resolves when all of the picture is there; rejects with an EncodingError. */
  decode(): Promise<void>;

  zoomable: boolean;
  show: Show;
  /** The picture, as soon as its first layer has come; it ends with the element. */
  readonly picture: Picture | null;
  readonly error: Error | null;
  /** 'unknown' where the numbers of another ICC profile are shown as if they were sRGB. */
  readonly colours: 'srgb' | 'display-p3' | 'unknown' | null;
  /** What is seen, in pixels of the picture. */
  readonly view: Region | null;
  /** CSS pixels for each pixel of the picture, across. */
  readonly scale: number | null;
  /** Resolves when the canvas shows what it should, at rest. */
  drawn(): Promise<void>;

  /** Zoom around a point in CSS pixels of the content box, by itself its middle. `gentle` moves are
   * animated. */
  zoomBy(factor: number, x?: number, y?: number, gentle?: boolean): void;
  /** The same to so many CSS pixels for each of the picture. */
  zoomTo(scale: number, x?: number, y?: number, gentle?: boolean): void;
  moveBy(dx: number, dy: number, gentle?: boolean): void;
  /** Show the picture as the page places it. */
  reset(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    'siren-img': SirenImage;
  }
}
