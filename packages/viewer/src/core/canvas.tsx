import { useEffect, useRef } from "preact/hooks";
import { theme } from "./theme.js";

/** What a view draws with: sizes in CSS pixels, colours by the names of the style sheet's variables. */
export interface Paper {
  readonly ctx: CanvasRenderingContext2D;
  readonly width: number;
  readonly height: number;
  /** How far it is scrolled. */
  readonly top: number;
  colour(name: string): string;
}

export interface Place {
  readonly x: number;
  /** Scrolling included. */
  readonly y: number;
}

export interface CanvasProps {
  /** Called whenever it changes, once a frame at most. */
  readonly paint: (paper: Paper) => void;
  /** Painted on top, likewise: what changes often. What `paint` has made is kept meanwhile. */
  readonly overlay?: (paper: Paper) => void;
  /** Height of all that can be scrolled to. */
  readonly contentHeight: number;
  readonly label: string;
  readonly describedBy?: string;
  readonly testId?: string;
  readonly onPoint?: (place: Place, event: PointerEvent) => void;
  /** `event` says where of the window the pointer is. */
  readonly onHover?: (place: Place | null, event: PointerEvent) => void;
  readonly onWheel?: (event: WheelEvent, place: Place) => boolean;
  readonly onKey?: (event: KeyboardEvent) => boolean;
  /** A part [from, to) of the content that is to be visible. */
  readonly reveal?: readonly [number, number] | null;
}

/** A canvas that scrolls: as large as it looks, whatever the height of its content. */
export function Canvas({ paint, overlay, contentHeight, label, describedBy, testId, onPoint, onHover, onWheel, onKey, reveal = null }: CanvasProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const latest = useRef({ paint, overlay });
  const kept = useRef<Kept | null>(null);
  const frame = useRef(0);
  latest.current = { paint, overlay };

  const redraw = (): void => {
    if (frame.current !== 0) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      kept.current = draw(scroller.current, canvas.current, latest.current, kept.current);
    });
  };
  // What is painted depends on whatever the caller has read.
  useEffect(redraw, [paint, overlay, contentHeight, theme.value]);
  useEffect(() => {
    const observer = new ResizeObserver(redraw);
    observer.observe(scroller.current!);
    return () => {
      observer.disconnect();
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
  }, []);
  useEffect(() => {
    const { current } = scroller;
    if (current === null || reveal === null) return;
    const [from, to] = reveal;
    if (from < current.scrollTop) current.scrollTop = Math.max(0, from - 24);
    else if (to > current.scrollTop + current.clientHeight) current.scrollTop = to - current.clientHeight + 8;
  }, [reveal?.[0], reveal?.[1]]);

  const placeOf = (event: MouseEvent): Place => {
    const box = canvas.current!.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top + scroller.current!.scrollTop };
  };
  useEffect(() => {
    const { current } = scroller;
    const wheel = (event: WheelEvent): void => {
      if (onWheel?.(event, placeOf(event)) === true) event.preventDefault();
    };
    // Not passive, or a browser zooms the whole page.
    current!.addEventListener("wheel", wheel, { passive: false });
    return () => current!.removeEventListener("wheel", wheel);
  });
  return (
    <div class="scroller" ref={scroller} onScroll={redraw}>
      <canvas
        ref={canvas}
        tabIndex={0}
        role="application"
        aria-label={label}
        aria-describedby={describedBy}
        data-testid={testId}
        onPointerDown={(event) => {
          onPoint?.(placeOf(event), event);
        }}
        onPointerMove={(event) => {
          if (event.buttons === 1) onPoint?.(placeOf(event), event);
          onHover?.(placeOf(event), event);
        }}
        onPointerLeave={(event) => onHover?.(null, event)}
        onKeyDown={(event) => {
          if (onKey?.(event) !== true) return;
          event.preventDefault();
          event.stopPropagation();
        }}
      />
      <div style={{ height: `${Math.max(0, contentHeight)}px` }} />
    </div>
  );
}

type Paint = (paper: Paper) => void;

/** A picture without its overlay, and all that it depends on. */
interface Kept {
  readonly picture: HTMLCanvasElement;
  readonly paint: Paint;
  readonly theme: string;
  readonly top: number;
}

function draw(scroller: HTMLElement | null, canvas: HTMLCanvasElement | null, { paint, overlay }: { readonly paint: Paint; readonly overlay: Paint | undefined }, kept: Kept | null): Kept | null {
  const ctx = canvas?.getContext("2d") ?? null;
  if (scroller === null || canvas === null || ctx === null) return null;
  const [width, height, top] = [scroller.clientWidth, scroller.clientHeight, scroller.scrollTop];
  const ratio = devicePixelRatio;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const style = getComputedStyle(document.documentElement);
  const colours = new Map<string, string>();
  const colour = (name: string): string => {
    let value = colours.get(name);
    if (value === undefined) colours.set(name, (value = style.getPropertyValue(`--${name}`).trim()));
    return value;
  };
  const onto = (context: CanvasRenderingContext2D, each: Paint): void => {
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.textBaseline = "middle";
    each({ ctx: context, width, height, top, colour });
  };
  const clear = (context: CanvasRenderingContext2D): void => {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
  };
  if (overlay === undefined) {
    clear(ctx);
    onto(ctx, paint);
    return null;
  }
  const good = kept !== null && kept.paint === paint && kept.theme === theme.value && kept.top === top && kept.picture.width === canvas.width && kept.picture.height === canvas.height;
  if (!good) {
    const picture = kept?.picture ?? document.createElement("canvas");
    picture.width = canvas.width;
    picture.height = canvas.height;
    onto(picture.getContext("2d")!, paint);
    kept = { picture, paint, theme: theme.value, top };
  }
  clear(ctx);
  if (canvas.width > 0 && canvas.height > 0) ctx.drawImage(kept!.picture, 0, 0);
  onto(ctx, overlay);
  return kept;
}
