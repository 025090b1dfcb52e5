import { InputError } from './inputError';

/** Shows the camera in a `<video>`, until a photo is taken or it is closed. */
export class Camera {
  private stream?: MediaStream;

  constructor(private readonly video: HTMLVideoElement) {}

  /** @throws InputError if there is no camera, or the user or the system refuses it */
  async open(): Promise<void> {
    if (!navigator.mediaDevices) throw new InputError('The camera works over https only: choose a photo instead.');
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: 'environment', width: { ideal: 1920 }, height: { ideal: 1440 } },
      });
    } catch (error) {
      const refused = error instanceof DOMException && error.name === 'NotAllowedError';
      throw new InputError(
        refused
          ? 'The camera was refused: allow it in the browser’s settings, or choose a photo.'
          : 'No camera could be opened: choose a photo instead.',
      );
    }
    this.video.srcObject = this.stream;
    await this.video.play();
  }

  /** What the camera sees now. */
  take(): Promise<ImageBitmap> {
    return createImageBitmap(this.video);
  }

  close(): void {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = undefined;
    this.video.srcObject = null;
  }
}
