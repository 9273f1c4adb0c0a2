"""Small videos of plain scenes, each with a tone of its own."""

from fractions import Fraction

import numpy as np

SOUND_RATE = 48_000


def level_of(scene):
    """Grey level of a scene."""
    return 40 + 37 * (scene % 6)


def tone_hz(scene):
    """Frequency of a scene's tone."""
    return 400.0 + 200 * scene


def scene_image(scene, size):
    """A pattern that differs from scene to scene, so that random features tell them apart."""
    blocks = np.random.default_rng(scene).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.kron(blocks, np.ones((size[0] // 6, size[1] // 8, 1), np.uint8))


def draw_video(path, scenes, *, rate=30, sound=True, size=(48, 64), patterns=True):
    """Write scenes of so many frames each with PyAV."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as output:
        picture = output.add_stream("mpeg4", rate=rate)
        picture.height, picture.width, picture.pix_fmt = *size, "yuv420p"
        track = output.add_stream("aac", rate=SOUND_RATE, layout="stereo") if sound else None
        owners = np.repeat(np.arange(len(scenes)), scenes)
        for index, scene in enumerate(owners):
            plain = np.full((*size, 3), level_of(scene), np.uint8)
            image = scene_image(scene, size) if patterns else plain
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            output.mux(picture.encode(frame))
        output.mux(picture.encode())
        if track is not None:
            _sound(output, track, owners, rate)
    return path


def _sound(output, track, owners, rate):
    import av

    times = np.arange(len(owners) * SOUND_RATE // rate) / SOUND_RATE
    tones = tone_hz(owners[np.minimum((times * rate).astype(int), len(owners) - 1)])
    wave = (0.3 * np.sin(2 * np.pi * tones * times)).astype(np.float32)
    for start in range(0, len(wave), SOUND_RATE // 10):
        part = wave[start : start + SOUND_RATE // 10]
        frame = av.AudioFrame.from_ndarray(np.stack([part, part]), format="fltp", layout="stereo")
        frame.rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
        output.mux(track.encode(frame))
    output.mux(track.encode())


def heard(path):
    """The sound of a video, one channel, at its own rate."""
    import av

    with av.open(str(path)) as container:
        parts = [frame.to_ndarray()[0] for frame in container.decode(container.streams.audio[0])]
    return np.concatenate(parts)


def loudest_hz(wave):
    """The frequency that a piece of sound is made of."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(spectrum.argmax() * SOUND_RATE / len(wave))
