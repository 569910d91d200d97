"""Writes tables with pandas, polars and `datasets`, and reads them after a job: `data_frames.py write|read FOLDER`.

Runs in an environment of its own, without sagewire and pytest.
"""

import datetime as dt
import decimal
import sys
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import polars as pl

ROWS = 40
MOMENT = dt.datetime(2026, 3, 29, 1, 30, 15, 123456)
# What JSON lines and CSV can hold, and what only Parquet can.
PLAIN = {
    "prompt": [f"Größe {number} 日本" for number in range(ROWS)],
    "count": [2**53 + number for number in range(ROWS)],
    "share": [number / 7 for number in range(ROWS)],
    "flag": [number % 2 == 0 for number in range(ROWS)],
}
RICH = {
    **PLAIN,
    "maybe": [None if number % 3 else number for number in range(ROWS)],
    "day": [dt.date(2026, 1, 1) + dt.timedelta(days=number) for number in range(ROWS)],
    "at": [MOMENT + dt.timedelta(hours=number) for number in range(ROWS)],
    "price": [decimal.Decimal(number) / 100 for number in range(ROWS)],
    "raw": [bytes([number, 255]) for number in range(ROWS)],
    "tags": [[f"t{part}" for part in range(number % 4)] for number in range(ROWS)],
    "inner": [{"a": number, "b": [{"c": str(number)}]} for number in range(ROWS)],
}


def frames() -> dict[str, pd.DataFrame]:
    """Return what pandas has of its own: categories, zones, nullable integers, an index, small numbers."""
    rich = pd.DataFrame(RICH)
    rich["kind"] = pd.Categorical(["a", "b"] * (ROWS // 2))
    rich["zoned"] = pd.to_datetime(rich["at"]).dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    rich["nullable"] = pd.array([None if number % 5 else number for number in range(ROWS)], dtype="Int64")
    rich["small"] = np.arange(ROWS, dtype="uint8")
    rich["nano"] = pd.to_datetime(np.arange(ROWS) + 1)
    return {"pandas.parquet": rich, "pandas_indexed.parquet": rich.set_index("count", drop=False)}


def polars_frame() -> pl.DataFrame:
    frame = pl.DataFrame(RICH)
    return frame.with_columns(
        pl.Series("kind", ["a", "b"] * (ROWS // 2), dtype=pl.Categorical),
        pl.Series("span", [dt.timedelta(minutes=number) for number in range(ROWS)]),
        pl.Series("time", [dt.time(1, number) for number in range(ROWS)]),
        pl.Series("small", list(range(ROWS)), dtype=pl.Int8),
    )


def written(folder: Path) -> None:
    for name, frame in frames().items():
        frame.to_parquet(folder / name, index="indexed" in name)
    plain = pd.DataFrame(PLAIN)
    plain.to_csv(folder / "pandas.csv", index=False)
    plain.to_json(folder / "pandas.jsonl", orient="records", lines=True)
    plain.to_json(folder / "pandas_zipped.jsonl.gz", orient="records", lines=True)
    polars_frame().write_parquet(folder / "polars.parquet")
    pl.DataFrame(PLAIN).write_csv(folder / "polars.csv")
    pl.DataFrame(PLAIN).write_ndjson(folder / "polars.jsonl")
    datasets.Dataset.from_dict(RICH).to_parquet(folder / "datasets.parquet")
    datasets.Dataset.from_dict(PLAIN).to_json(folder / "datasets.jsonl")


def compared(folder: Path) -> None:
    for path in sorted(folder.glob("*.parquet")):
        found = folder / "out" / path.name
        pandas, before = pd.read_parquet(found), pd.read_parquet(path).reset_index(drop=True)
        assert list(pandas["output"]) == PLAIN["prompt"], path
        pd.testing.assert_frame_equal(
            pandas[list(before.columns)].reset_index(drop=True), before, check_categorical=False
        )
        polars = pl.read_parquet(found)
        assert polars.select(pl.read_parquet(path).columns).equals(pl.read_parquet(path)), path
        rows = datasets.Dataset.from_parquet(str(found), cache_dir=str(folder / "cache"))
        assert rows["output"][:] == PLAIN["prompt"], path
        assert rows["inner"][7] == RICH["inner"][7]
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*.jsonl*")]):
        csv = path.suffix == ".csv"
        found = folder / "out" / (path.name if csv else path.name.removesuffix(".gz"))
        pandas = pd.read_csv(found) if csv else pd.read_json(found, lines=True, precise_float=True)
        polars = pl.read_csv(found) if csv else pl.read_ndjson(found)
        for frame in (pandas, polars.to_pandas()):
            assert list(frame["output"]) == PLAIN["prompt"], path
            pd.testing.assert_frame_equal(frame[list(PLAIN)], pd.DataFrame(PLAIN), check_dtype=False)
        kind = "csv" if csv else "json"
        rows = datasets.load_dataset(kind, data_files=str(found), split="train", cache_dir=str(folder / "cache"))
        assert rows["count"][:] == PLAIN["count"], path


if __name__ == "__main__":
    {"write": written, "read": compared}[sys.argv[1]](Path(sys.argv[2]))
