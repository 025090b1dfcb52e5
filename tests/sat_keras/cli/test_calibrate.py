from sat_keras.runs.folder import load_run


def test_a_run_of_too_few_photos_stays_as_it_is(trained, fails):
    says = "train: 4 photos with two captions or more; confidence is calibrated on 50 or more"
    fails(["calibrate", trained["run"], *trained["places"]], says)
    assert load_run(trained["run"]).trust is None


def test_a_preset_that_names_no_data_set(trained, tmp_path, fails):
    load_run(trained["run"]).save_to_preset(tmp_path / "mine")
    arguments = ["calibrate", tmp_path / "mine", "--out", tmp_path / "new", *trained["places"]]
    fails(arguments, "mine: does not name its data set: save_to_preset(trained_on=...)")
